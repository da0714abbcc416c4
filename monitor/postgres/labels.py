"""Labels in PostgreSQL: every content of every label, as it came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, text

from monitor.domain.label import Label, LabelOutcome, LabelSource, StoredLabel, Verdict
from monitor.domain.order import Actor
from monitor.labels.intake import outcomes
from monitor.labels.verdict import COUNTED, latest, order_of, verdicts
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.copy import driver_of
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author

COLUMNS = (
    "label_id, digest, timestamp, trace_id, annotator_id, kind, value, criteria_version, inclusion_probability,"
    " dimensions, source"
)
# One order everywhere: transactions that insert the same labels wait for each other, and do not deadlock.
# %b sends an array in binary: writing thousands of ids as escaped text costs more than storing them.
_INSERT = (
    f"insert into label ({COLUMNS}) select * from unnest(%b::text[], %b::bytea[], %b::timestamptz[], %b::text[],"  # noqa: S608
    " %b::text[], %b::text[], %b::float8[], %b::text[], %b::float8[], %b::jsonb[], %b::text[])"
    " on conflict do nothing returning label_id, digest"
)
# All contents of a label's id: one may have been corrected to be of another trace or kind.
_OF_TRACES = text(
    f"select {COLUMNS} from label where label_id in"  # noqa: S608
    " (select label_id from label where trace_id = any(:trace_ids) and kind = :kind) and withdrawn_at is null"
)


_ALIKE = text(  # what a label may correct: its own id's contents, and what its annotator said of the trace
    f"select {COLUMNS} from label where label_id = any(:label_ids)"  # noqa: S608
    f" union all select {COLUMNS} from label where trace_id = any(:trace_ids) and kind = any(:kinds)"
    " and annotator_id = any(:annotator_ids)"
)


# All contents of the ids that were said of a trace, for what became of those that have moved to another one.
_HISTORY = text(
    f"select {COLUMNS}, received_at, withdrawn_at from label where label_id in"  # noqa: S608
    " (select label_id from label where trace_id = :trace_id)"
)
_ADD_TO_TOTAL = text(
    "insert into running_total (name, label, value) values ('labels', '', :count)"
    " on conflict (name, label) do update set value = running_total.value + excluded.value"
)


class PostgresLabels:
    """What was said of traces."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def verdicts(
        self,
        connection: Connection,
        kind: str,
        trace_ids: Sequence[str],
        *,
        criteria_version: str | None = None,
        stated_only: bool = False,
        sources: Collection[LabelSource] = COUNTED,
    ) -> dict[str, Verdict]:
        """Return the verdicts on those of *trace_ids* that have one, as `labels.verdict.verdicts` has it."""
        rows = connection.execute(_OF_TRACES, {"trace_ids": list(trace_ids), "kind": kind})
        found = verdicts(
            map(label_of, rows), kind, criteria_version=criteria_version, stated_only=stated_only, sources=sources
        )
        wanted = set(trace_ids)
        return {trace_id: verdict for trace_id, verdict in found.items() if trace_id in wanted}

    def post(self, labels: Sequence[Label], *, actor: Actor) -> list[LabelOutcome]:
        """Store *labels* in one transaction, and in the audit who sent them; return what became of each."""
        with transaction(self._engine) as connection:
            became = add_labels(connection, labels)
            by = Author(actor.name, actor.role)
            subject = f"{len(labels)} label{'s' if len(labels) > 1 else ''}"
            PostgresAudit(connection).record("labels.post", subject, by=by, detail=Counter(became))
        return became

    def labels_of(self, trace_id: str, *, limit: int) -> list[StoredLabel]:
        """Return every content said of the trace, the newest first."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_HISTORY, {"trace_id": trace_id}).all()
        labels = [(label_of(row), row) for row in rows]
        stands = {order_of(label) for label in latest(label for label, row in labels if row.withdrawn_at is None)}
        told = sorted((pair for pair in labels if pair[0].trace_id == trace_id), key=lambda pair: order_of(pair[0]))
        return [
            StoredLabel(label, row.received_at, row.withdrawn_at, order_of(label) in stands)
            for label, row in told[::-1][:limit]
        ]


def add_labels(connection: Connection, labels: Sequence[Label]) -> list[LabelOutcome]:
    """Store *labels* that came by another way than a worker's checkpoint, which has a count of its own."""
    became = store_labels(connection, labels)
    count = sum(outcome.is_new for outcome in became)
    if count:
        connection.execute(_ADD_TO_TOTAL, {"count": count})
    return became


def store_labels(connection: Connection, labels: Sequence[Label]) -> list[LabelOutcome]:
    """Store *labels*, each content once; return what became of each."""
    new = insert_labels(connection, labels)
    alike: Iterable[Row[Any]] = ()
    if new:
        told = {
            "label_ids": [label.label_id for label in labels],
            "trace_ids": [label.trace_id for label in labels],
            "kinds": list({label.kind for label in labels}),
            "annotator_ids": list({label.annotator_id for label in labels if label.annotator_id is not None}),
        }
        alike = connection.execute(_ALIKE, told)
    return outcomes(labels, new, stored=map(label_of, alike))


def insert_labels(connection: Connection, labels: Iterable[Label]) -> set[tuple[str, bytes]]:
    """Store those of *labels* that are not there with the same content; return the id and digest of what is new."""
    rows = sorted({(label.label_id, label.digest()): label for label in labels}.items())
    if not rows:
        return set()
    columns = zip(*((label_id, digest, *_rest_of(label)) for (label_id, digest), label in rows), strict=True)
    inserted = driver_of(connection).execute(_INSERT, [list(column) for column in columns])
    return {(label_id, bytes(digest)) for label_id, digest in inserted}


def label_of(row: Row[Any]) -> Label:
    return Label(
        row.label_id,
        row.timestamp.astimezone(UTC),
        row.trace_id,
        row.kind,
        row.value,
        row.annotator_id,
        row.criteria_version,
        row.inclusion_probability,
        {name: float(value) for name, value in row.dimensions.items()},
        LabelSource(row.source),
    )


def _rest_of(label: Label) -> tuple[Any, ...]:
    return (
        label.timestamp,
        label.trace_id,
        label.annotator_id,
        label.kind,
        label.value,
        label.criteria_version,
        label.inclusion_probability,
        msgspec.json.encode(dict(label.dimensions)).decode(),
        label.source.value,
    )
