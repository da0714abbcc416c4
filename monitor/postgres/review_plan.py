"""How traces are selected, in PostgreSQL: planned by the leader from what the log holds, read by every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Row, insert, select, text

from monitor.domain.review import Reason, SelectionPlan
from monitor.domain.signal import DISAGREEMENT
from monitor.postgres import schema
from monitor.postgres.document import document
from monitor.postgres.engine import transaction
from monitor.signals.estimand import selected_series

KEPT_SECONDS = 10.0
LATEST_ENTRIES = 50  # from which it is told how far the reward models disagree
FIRST_ENTRIES = 10_000  # of the log, read by a new leader: an hour at most is counted
_NOW = text(
    "select clock_timestamp() as now, coalesce((select sequence from log_entry where sequence is not null"
    " order by sequence desc limit 1), 0) as sequence"
)
_ALARM_ITEMS = text("select count(*) from review_item where reason = :reason and created_at > now() - interval '1 day'")
_COUNTS = text(
    "select date_trunc('minute', e.created_at) as minute, sum(octet_length(b.values) / 8) as traces"
    " from log_entry e join observation_batch b using (entry_id)"
    " where e.sequence > :after and e.sequence <= :until and e.source = 'traces' and b.signal = any(:signals)"
    " group by minute order by minute"
)
_LATEST = text(
    "select b.entry_id, b.signal, b.scorer_version, b.ordinals, b.values from observation_batch b"
    " where b.signal = any(:signals) and b.entry_id in (select entry_id from log_entry"
    "   where source = 'traces' and sequence is not null order by sequence desc limit :entries)"
    " order by b.entry_id desc"
)


class PostgresPlans:
    """The plan in force; without one *first* is. Kept for a while, since every batch asks for it."""

    def __init__(self, engine: Engine, first: SelectionPlan, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._first = first
        self._clock = clock
        self._known: SelectionPlan | None = None
        self._read_at = 0.0

    def current(self) -> SelectionPlan:
        """Return the plan, as it was up to `KEPT_SECONDS` ago; raises `Unavailable`."""
        if self._known is None or self._clock() - self._read_at >= KEPT_SECONDS:
            self._known = self.latest() or self._first
            self._read_at = self._clock()
        return self._known

    def latest(self) -> SelectionPlan | None:
        """Return the plan that was written last."""
        table = schema.review_plan.c
        query = select(table.revision, table.content).order_by(table.revision.desc()).limit(1)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else msgspec.convert(row.content | {"revision": row.revision}, SelectionPlan)

    def write(self, plan: SelectionPlan) -> None:
        """Put *plan* in force; it gets a revision of its own."""
        content = {name: value for name, value in document(plan).items() if name != "revision"}
        with transaction(self._engine) as connection:
            connection.execute(insert(schema.review_plan).values(content=content))


@dataclass(frozen=True, slots=True)
class Seen:
    """What came since the leader looked last."""

    now: datetime
    sequence: int  # of the last entry looked at
    minutes: Sequence[tuple[datetime, int]]  # how many traces could be labelled, for each kind of label


class PostgresTraffic:
    """What the log tells of the traces that could be labelled."""

    def __init__(self, engine: Engine, kinds: Sequence[str]) -> None:
        self._engine = engine
        self._selected = [selected_series(kind) for kind in kinds]

    def since(self, sequence: int | None) -> Seen:
        """Return what came after the entry *sequence*; None: of late."""
        with transaction(self._engine) as connection:
            end = connection.execute(_NOW).one()
            after = end.sequence - FIRST_ENTRIES if sequence is None else sequence
            bounds = {"after": after, "until": end.sequence, "signals": self._selected}
            rows = connection.execute(_COUNTS, bounds).all()
        return Seen(end.now, end.sequence, [(row.minute, int(row.traces)) for row in rows])

    def alarm_items(self) -> int:
        """Return how many items of the last day were put in for alarms."""
        with transaction(self._engine) as connection:
            return int(connection.execute(_ALARM_ITEMS, {"reason": Reason.ALARM}).scalar_one())

    def disagreements(self) -> NDArray[np.float64]:
        """Return how far the latest scorer's models disagreed on the latest traces that could be labelled."""
        signals = [DISAGREEMENT.name, *self._selected]
        with transaction(self._engine) as connection:
            rows = connection.execute(_LATEST, {"signals": signals, "entries": LATEST_ENTRIES}).all()
        open_to = {(row.entry_id, place) for row in rows if row.signal != DISAGREEMENT.name for place in _places(row)}
        scored = [row for row in rows if row.signal == DISAGREEMENT.name]
        values = [
            value
            for row in scored
            if row.scorer_version == scored[0].scorer_version
            for place, value in zip(_places(row), np.frombuffer(row.values, dtype="<f8").tolist(), strict=True)
            if (row.entry_id, place) in open_to
        ]
        return np.array(values, dtype=np.float64)


def _places(row: Row[Any]) -> list[int]:
    places: list[int] = np.frombuffer(row.ordinals, dtype="<i4").tolist()
    return places
