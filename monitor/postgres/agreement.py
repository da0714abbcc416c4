"""What annotators said, as far as it can be held against what others said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from monitor.domain.label import PREFERENCE, LabelSource
from monitor.labels.agreement import AgreementReport, Checked, Rating, report_agreement
from monitor.labels.pairs import Judgement, PairSource, parts_of
from monitor.postgres.engine import transaction
from monitor.postgres.preferences import judgements

NEWEST = 200_000  # judgements of preferences, and of all other kinds: a leader's turn takes them all
_OTHER_KINDS = text(
    "select label_id, trace_id, kind, value, timestamp, annotator_id, criteria_version, dimensions, digest from label l"
    " where kind <> 'preference' and source = 'human' and annotator_id is not null and withdrawn_at is null"
    " and not exists (select from label later where later.label_id = l.label_id and later.withdrawn_at is null"
    "   and (later.timestamp, later.digest) > (l.timestamp, l.digest)) order by timestamp desc limit :newest"
)
_CHECKED = text(
    "select v.annotator_id, v.value, v.policy_first, i.gold from review_verdict v join review_item i using (item_id)"
    " where v.answer = 'label' and v.undone_at is null and v.value is not null"
)
_ACTIVE = text("select version from criteria where active")


class PostgresAgreement:
    """Agreement on what a run would learn from, and on every other kind of label.

    Without a *criteria_version* the queue's criteria are those of now; without a queue, those of the latest label.
    """

    def __init__(self, engine: Engine, criteria_version: str | None) -> None:
        self._engine = engine
        self._criteria_version = criteria_version

    def agreement(self, now: datetime) -> AgreementReport:
        with transaction(self._engine) as connection:
            version = self._criteria_version or connection.execute(_ACTIVE).scalar_one_or_none()
            ratings = [*_preferences(connection), *_others(connection)]
            checked = [Checked(*row) for row in connection.execute(_CHECKED)]
        return report_agreement(ratings, checked, criteria_version=version, now=now)


def _preferences(connection: Connection) -> Iterator[Rating]:
    """Yield people's preferences, each for the answer whose digest is the lesser, whoever named which first."""
    for one in judgements(connection, newest=NEWEST):
        if one.by is LabelSource.HUMAN and one.annotator_id is not None:
            _, first, second = parts_of(one.content)
            yield _rating(one, one.annotator_id, turned=first > second)


def _rating(one: Judgement, annotator_id: str, *, turned: bool) -> Rating:
    dimensions = {} if one.source is PairSource.EVENT else one.dimensions  # an event's have no scale of their own
    return Rating(
        kind=PREFERENCE,
        item=b"".join(one.key).hex(),
        annotator_id=annotator_id,
        value=1.0 - one.value if turned else one.value,
        timestamp=one.timestamp,
        order=one.judgement_id + one.digest.hex(),
        criteria_version=one.criteria_version,
        dimensions={name: 1.0 - value if turned else value for name, value in dimensions.items()},
    )


def _others(connection: Connection) -> Iterator[Rating]:
    for row in connection.execute(_OTHER_KINDS, {"newest": NEWEST}):
        yield Rating(
            kind=row.kind,
            item=row.trace_id,
            annotator_id=row.annotator_id,
            value=row.value,
            timestamp=row.timestamp,
            order=row.label_id + bytes(row.digest).hex(),
            criteria_version=row.criteria_version,
            dimensions=row.dimensions,
        )
