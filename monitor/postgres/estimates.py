"""What estimates are made of: settled blocks, their labelled traces, and what becomes of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import timedelta

from sqlalchemy import Connection, Engine, select, text

from monitor.domain.label import LabelSource, Verdict
from monitor.labels.block import BlockRule
from monitor.labels.estimate import DaySums, LabelItem, LengthEffect
from monitor.labels.item import Sampling
from monitor.labels.report import BlockCounts, Evidence, LabelFacts
from monitor.labels.tuning import Tuning
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.labels import PostgresLabels
from monitor.signals.estimand import Estimand
from monitor.stats.length_control import GAP_SPREAD

# A label whose transaction was open while its block was settled is a correction too.
OVERLAP = timedelta(minutes=1)

_MARK = text(
    "select (select max(received_at) from label),"
    " (select version from criteria where active),"
    " max(number), max(settled_at), count(outcome) from label_block where estimand = :estimand"
)
_OF_LAST_DAYS = (  # of the items, i, of an estimand
    "(cast(:days as int) is null or i.timestamp >= (select max(day) - cast(:days as int) + 1 from estimate_day"
    "  where estimand = :estimand)::timestamp at time zone 'UTC')"
)
_ITEMS = text(
    f"select {', '.join(field.name for field in fields(LabelItem))} from label_item i"  # noqa: S608
    f" where estimand = :estimand and {_OF_LAST_DAYS} order by number, timestamp, trace_id"
)
_SUMS = text(
    f"select {', '.join(field.name for field in fields(DaySums))} from estimate_day"  # noqa: S608
    " where estimand = :estimand order by day"
)
_CORRECTED = text(
    "select i.trace_id, i.criteria_version from label_item i join label_block b using (estimand, number)"  # noqa: S608
    f" where i.estimand = :estimand and i.value is not null and {_OF_LAST_DAYS} and exists (select from label l"
    "  where l.trace_id = i.trace_id and l.kind = :kind"
    "   and greatest(l.received_at, l.withdrawn_at) > b.settled_at - :overlap)"
)
_BLOCKS = text(
    "select count(*) filter (where outcome = 'matured' and settled_at > now() - :recent) as matured,"
    " count(*) filter (where outcome <> 'matured' and settled_at > now() - :recent) as dropped,"
    " count(*) filter (where outcome is null) as waiting, min(cut_at) filter (where outcome is null) as waiting_since"
    " from label_block where estimand = :estimand"
)
_FACTS = text(
    "select l.source, l.criteria_version is null"
    " or coalesce(coalesce(b.criteria_version, :criteria) in ('', l.criteria_version), false) as meets_criteria,"
    " l.inclusion_probability >= :least as stated,"
    " r.item_id is not null as selected, s.trace_id is not null as stored, i.value is not null as counted,"
    " b.outcome is not null as settled,"
    " coalesce(b.outcome <> 'matured', false) as dropped, coalesce(l.received_at > b.settled_at, false) as late,"
    " count(*) as labels"
    " from label l"
    " left join stored_trace s using (trace_id)"
    " left join log_entry e using (entry_id)"
    " left join review_item r on r.trace_id = l.trace_id and r.kind = l.kind and r.counted"
    " left join label_item i on i.estimand = :estimand and i.trace_id = l.trace_id"
    " left join lateral (select outcome, settled_at, stop_place, criteria_version from label_block"
    "   where estimand = :estimand and first_place <= e.first_place + s.ordinal order by first_place desc limit 1) b"
    "  on b.stop_place > e.first_place + s.ordinal"
    " where l.kind = :kind and l.received_at > now() - :recent and l.withdrawn_at is null"
    " group by 1, 2, 3, 4, 5, 6, 7, 8, 9"
)


class PostgresEstimates:
    """The `EstimateStore` of `labels.report`.

    A label that was corrected after its block was settled counts as corrected from then on, and so does one of a
    further annotator; one that was withdrawn counts no more. Streams keep what they have bet on.
    """

    def __init__(self, engine: Engine, rule: BlockRule) -> None:
        self._engine = engine
        self._rule = rule
        self._labels = PostgresLabels(engine)

    def mark(self, estimand: Estimand) -> object:
        with transaction(self._engine) as connection:
            return tuple(connection.execute(_MARK, {"estimand": estimand.name}).one())

    def evidence(self, estimand: Estimand, *, recent: timedelta, days: int | None = None) -> Evidence:
        named = {"estimand": estimand.name}
        with transaction(self._engine) as connection:
            connection.execute(text("set transaction isolation level repeatable read, read only"))
            counted = {
                **named,
                "kind": estimand.kind,
                "recent": recent,
                "least": self._rule.least_probability,
                "criteria": self._criteria(connection) or "",
            }
            blocks = connection.execute(_BLOCKS, {**named, "recent": recent}).one()
            items = [LabelItem(**row._mapping) for row in connection.execute(_ITEMS, {**named, "days": days})]
            return Evidence(
                sums=[DaySums(**row._mapping) for row in connection.execute(_SUMS, named)],
                items=self._corrected(connection, estimand, items, days),
                length_effect=_length_effect(connection, estimand),
                blocks=BlockCounts(**blocks._mapping),
                facts=[
                    LabelFacts(**{**row._mapping, "source": LabelSource(row.source)})
                    for row in connection.execute(_FACTS, counted)
                ],
            )

    def _corrected(
        self, connection: Connection, estimand: Estimand, items: Iterable[LabelItem], days: int | None
    ) -> list[LabelItem]:
        """Return *items* with the verdicts of today."""
        named = {"estimand": estimand.name, "kind": estimand.kind, "overlap": OVERLAP, "days": days}
        by_criteria: defaultdict[str, list[str]] = defaultdict(list)
        for row in connection.execute(_CORRECTED, named):
            by_criteria[row.criteria_version].append(row.trace_id)
        found: dict[str, Verdict] = {}
        for criteria_version, trace_ids in by_criteria.items():
            found |= self._labels.verdicts(
                connection,
                estimand.kind,
                trace_ids,
                criteria_version=criteria_version or None,
                stated_only=self._rule.sampling is Sampling.STATED,
            )
        corrected = {trace_id for trace_ids in by_criteria.values() for trace_id in trace_ids}
        return [_judged(item, found.get(item.trace_id)) if item.trace_id in corrected else item for item in items]

    def _criteria(self, connection: Connection) -> str | None:
        """Return the version that labels must have from now on; None for any."""
        if self._rule.criteria_version is not None or self._rule.sampling is Sampling.STATED:
            return self._rule.criteria_version
        return connection.execute(text("select version from criteria where active")).scalar_one_or_none()


def _judged(item: LabelItem, verdict: Verdict | None) -> LabelItem:
    if verdict is None:  # withdrawn
        return replace(item, value=None, annotators=0, labelled_at=None)
    return replace(item, value=verdict.value, annotators=verdict.annotators, labelled_at=verdict.labelled_at)


def _length_effect(connection: Connection, estimand: Estimand) -> LengthEffect | None:
    query = select(schema.label_state.c.tuning).where(schema.label_state.c.estimand == estimand.name)
    tuning = connection.execute(query).scalar_one_or_none()
    slope = None if tuning is None else Tuning.from_bytes(tuning).length_slope
    return None if slope is None else LengthEffect(slope, GAP_SPREAD)
