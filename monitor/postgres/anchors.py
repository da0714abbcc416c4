"""The anchor set in PostgreSQL: its pairs, its scorings in the log, and what they say of alarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby

import msgspec
from sqlalchemy import Engine, func, select, text, update

from monitor.domain.alarm import Alarm, AlarmKind, AlarmState, Recovery, StoredAlarm
from monitor.domain.anchor import MIN_ANCHORS, AnchorPair
from monitor.domain.observation import LogEntry, PlacedEntry, Series, Source
from monitor.domain.signal import ANCHOR_REWARD
from monitor.drift.anchor import JUDGED, ScorerFinding
from monitor.drift.anchor_judge import JudgedBaseline
from monitor.errors import Fenced
from monitor.observe.anchor import AnchorStanding
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.alarms import PostgresAlarms, insert_alarm, recover_alarm
from monitor.postgres.engine import named_failures, transaction
from monitor.postgres.incidents import hold_incidents, settle
from monitor.postgres.log import append_entry
from monitor.postgres.registry import replaced_scorers
from monitor.postgres.streams import batch_of, entry_of, require_active

SCORING_LOCK = 0x524C4846_0A  # held by the process that scores the set
APPEND_LOCK = 0x524C4846_0B
# The draw is the same whenever it is made, and nobody chooses it who does not know the baseline's number beforehand.
_DRAWN = (
    "select row_number() over (order by md5('anchor/' || baseline_id || '/' || trace_id), trace_id) - 1 as number,"
    " trace_id, messages, response from baseline_trace where baseline_id = :baseline_id order by number limit :size"
)
_FIRST = text(
    f"select mean from ({_DRAWN}) as drawn"  # noqa: S608
    " left join score on score.trace_id = drawn.trace_id and score.scorer_version = :scorer_version order by number"
)
_LAST = text(
    "select e.entry_id, e.created_at from log_entry e join observation_batch b using (entry_id)"
    " where e.source = :source and b.signal = :signal and b.policy_model = :policy_model"
    " and b.scorer_version = :scorer_version order by e.sequence desc nulls first, e.entry_id desc limit 1"
)
_ASKED = text(
    "select now() as now, max(created_at) as asked from alarm"
    " where signal = any(:signals) and scorer_version = :scorer_version and state = any(:live)"
)
_ENTRIES = text(
    "select e.sequence, e.source, e.first_place, e.places, e.created_at, e.last_timestamp, b.signal, b.policy_model,"
    " b.scorer_version, b.cohorts, b.cohort_codes, b.ordinals, b.values, b.inclusion"
    " from log_entry e join observation_batch b using (entry_id)"
    " where e.source = :source and e.sequence > :after and e.first_place >= :window_stop order by e.sequence, b.signal"
)
_BASELINE = text("select baseline_id, stop_place, created_at, now() as now from baseline where active")
_LIVE = [state for state in AlarmState if state.is_live]


class PostgresAnchors:
    """`observe.anchor.AnchorStore`, and on a leader's engine `drift.anchor_judge.AnchorLog`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def baseline_id(self) -> int | None:
        baseline = self.judged_baseline()
        return None if baseline is None else baseline.baseline_id

    def window_pairs(self, baseline_id: int, size: int) -> tuple[AnchorPair, ...]:
        with transaction(self._engine) as connection:
            rows = connection.execute(text(_DRAWN), {"baseline_id": baseline_id, "size": size}).all()
        return tuple(msgspec.convert({"messages": row.messages, "response": row.response}, AnchorPair) for row in rows)

    def first_scores(self, baseline_id: int, size: int, scorer_version: str) -> list[float | None] | None:
        chosen = {"baseline_id": baseline_id, "size": size, "scorer_version": scorer_version}
        with transaction(self._engine) as connection:
            values = list(connection.execute(_FIRST, chosen).scalars())
        known = sum(value is not None for value in values)
        return values if known >= max(MIN_ANCHORS, len(values) / 2) else None

    def standing(self, series: Series) -> AnchorStanding:
        with transaction(self._engine) as connection:
            last = connection.execute(_LAST, {"source": Source.ANCHOR, **asdict(series)}).one_or_none()
            about = {"signals": sorted(JUDGED), "scorer_version": series.scorer_version, "live": _LIVE}
            asked = connection.execute(_ASKED, about).one()
        if last is None:
            return AnchorStanding(asked.now, None, None, asked.asked)
        return AnchorStanding(asked.now, last.created_at, last.entry_id, asked.asked)

    @contextmanager
    def claim(self) -> Iterator[bool]:
        lock = {"lock": SCORING_LOCK}
        with named_failures(), self._engine.connect() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")  # no transaction is open meanwhile
            claimed = bool(connection.execute(text("select pg_try_advisory_lock(:lock)"), lock).scalar_one())
            try:
                yield claimed
            finally:
                if claimed:
                    connection.execute(text("select pg_advisory_unlock(:lock)"), lock)

    def append(self, entry: LogEntry, *, after: int | None) -> None:
        series = next(batch.series for batch in entry.observations if batch.series.signal == ANCHOR_REWARD.name)
        with transaction(self._engine) as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": APPEND_LOCK})
            last = connection.execute(_LAST, {"source": Source.ANCHOR, **asdict(series)}).one_or_none()
            if (None if last is None else last.entry_id) != after:
                raise Fenced("another process has scored the anchor set meanwhile")
            append_entry(connection, entry)

    def judged_baseline(self) -> JudgedBaseline | None:
        with transaction(self._engine) as connection:
            row = connection.execute(_BASELINE).one_or_none()
        return None if row is None else JudgedBaseline(row.baseline_id, row.stop_place, row.created_at, row.now)

    def entries(self, *, after: int, window_stop: int) -> Iterator[PlacedEntry]:
        bounds = {"source": Source.ANCHOR, "after": after, "window_stop": window_stop}
        with transaction(self._engine) as connection:
            rows = connection.execute(_ENTRIES, bounds).all()
        for _, group in groupby(rows, key=lambda row: row.sequence):
            batches = list(group)
            yield entry_of(batches[0], None, tuple(map(batch_of, batches)))

    def live_alarms(self, baseline_id: int) -> Sequence[StoredAlarm]:
        table = schema.alarm.c
        chosen = table.signal.in_([ANCHOR_REWARD.name, *JUDGED]), table.kind == AlarmKind.DRIFT, table.state.in_(_LIVE)
        query = select(schema.alarm).where(table.baseline_id == baseline_id, *chosen).order_by(table.alarm_id)
        with transaction(self._engine) as connection:
            return tuple(map(stored_alarm, connection.execute(query)))

    def raise_alarm(self, baseline_id: int, alarm: Alarm) -> bool:
        table = schema.alarm.c
        same = [table[name] == value for name, value in asdict(alarm.stream).items()]
        stored = [table.baseline_id == baseline_id, table.episode == alarm.episode, *same]
        ended = {"state": AlarmState.OPEN, "acknowledged_by": None}  # its scorer was rolled back to
        again = update(schema.alarm).where(*stored, table.state == AlarmState.SUPERSEDED).values(ended)
        with transaction(self._engine) as connection:
            require_active(connection, baseline_id)
            if alarm.stream.scorer_version in replaced_scorers(connection):
                return False
            hold_incidents(connection)
            reopened = connection.execute(again.returning(table.incident_id)).scalars().all()
            settle(connection, reopened)
            if reopened:
                return True
            if connection.execute(select(func.count()).where(*stored)).scalar_one():
                return False
            insert_alarm(connection, baseline_id, alarm)  # the fold's next step gives it its incident
            return True

    def recover(self, baseline_id: int, recovery: Recovery) -> None:
        with transaction(self._engine) as connection:
            hold_incidents(connection)
            settle(connection, recover_alarm(connection, baseline_id, recovery))

    def judge(self, alarm_id: int, finding: ScorerFinding) -> None:
        PostgresAlarms(self._engine).set_scorer_verdict(alarm_id, finding.verdict, note=finding.note)
