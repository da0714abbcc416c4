"""What was asked of the released policy again, in PostgreSQL: which prompts, their answers, and the day's budget."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.alarm import AlarmKind, AlarmState, ReferenceVerdict, Severity
from monitor.domain.cohort import ALL
from monitor.domain.observation import LogEntry
from monitor.domain.order import Actor
from monitor.domain.reference import (
    AnswerOutcome,
    Asking,
    Budget,
    ChosenPrompt,
    LoggedAnswer,
    Measured,
    Pair,
)
from monitor.domain.trace import Message, TokenSource
from monitor.errors import Conflict, NotFound
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean
from monitor.postgres.engine import transaction
from monitor.postgres.log import append_entry, log_end
from monitor.retraining.records import Author

ALARMS_AT_ONCE = 20  # looked at in one turn; the roll-up first, since its prompts serve the cohorts too
_PLAN = text(
    "insert into reasked (alarm_id, rank, place, trace_id, chosen, reference, outcome, old, new, answered_at)"
    " select :alarm_id, :rank + u.number - 1, u.place, u.trace_id, u.chosen, :reference,"
    "   k.outcome, k.old, k.new, k.answered_at"
    " from unnest(cast(:places as bigint[]), cast(:trace_ids as text[]), cast(:chosen as boolean[]))"
    "   with ordinality as u(place, trace_id, chosen, number)"
    " left join lateral (select outcome, old, new, answered_at from reasked"
    "   where trace_id = u.trace_id and reference = :reference and outcome = 'answered' limit 1) k on true"
)
_LOGGED = text(
    "select t.trace_id, t.messages, t.response, t.output_tokens, t.output_tokens_source, t.finish_reason"
    " from stored_trace s join trace t on t.stored_on = s.stored_on and t.entry_id = s.entry_id"
    "   and t.ordinal = s.ordinal"
    " where s.trace_id = any(:ids) and t.response is not null and jsonb_array_length(t.messages) > 0"
    " and not t.truncated and t.tool_calls = 0"
)
_ANSWER = (
    update(schema.reasked)
    .where(
        schema.reasked.c.alarm_id == bindparam("of_alarm"),
        schema.reasked.c.rank == bindparam("at_rank"),
        schema.reasked.c.outcome.is_(None),
    )
    .values(
        outcome=bindparam("came"),
        old=bindparam("was", type_=JSONB(none_as_null=True)),
        new=bindparam("is", type_=JSONB(none_as_null=True)),
        answered_at=func.now(),
    )
)
_TODAY = text("select (now() at time zone 'utc')::date")


class PostgresReask:
    """The reasker's `ReaskStore`."""

    def __init__(self, engine: Engine, *, daily_requests: int, daily_tokens: int) -> None:
        self._engine = engine
        self._daily = Budget(daily_requests, daily_tokens)
        self._alarms = PostgresAlarms(engine)

    def begin(self, signals: Collection[str], *, hold_pages: bool) -> None:
        alarm, reask = schema.alarm.c, schema.reask.c
        query = (
            select(alarm.alarm_id)
            .select_from(schema.alarm.outerjoin(schema.reask))
            .where(alarm.kind == AlarmKind.DRIFT, alarm.signal.in_(signals), alarm.severity == Severity.ALERT)
            .where(alarm.state == AlarmState.OPEN, alarm.reference_verdict.is_(None), reask.alarm_id.is_(None))
        )
        with transaction(self._engine) as connection:
            found = connection.execute(query).scalars().all()
        for alarm_id in found:
            if hold_pages:
                self._alarms.set_reference_verdict(alarm_id, ReferenceVerdict.ASKING)
            with transaction(self._engine) as connection:
                connection.execute(upsert(schema.reask).values(alarm_id=alarm_id, asking=True).on_conflict_do_nothing())

    def release(self, *, patience_seconds: float) -> None:
        alarm, live = schema.alarm.c, [state for state in AlarmState if state.is_live]
        late = alarm.created_at < func.now() - timedelta(seconds=patience_seconds)
        waiting = select(alarm.alarm_id).where(alarm.reference_verdict == ReferenceVerdict.ASKING)
        with transaction(self._engine) as connection:
            found = connection.execute(waiting.where(late | alarm.state.not_in(live))).scalars().all()
        for alarm_id in found:
            note = f"not known within {patience_seconds:.0f} s, so nothing waits for it any more"
            self._alarms.set_reference_verdict(alarm_id, ReferenceVerdict.UNDECIDED, note=note)

    def asked(self) -> list[Asking]:
        alarm, reask, baseline = schema.alarm.c, schema.reask.c, schema.baseline.c
        query = (
            select(schema.alarm, reask.rounds, baseline.first_place, baseline.stop_place)
            .select_from(schema.alarm.join(schema.baseline).join(schema.reask))
            .where(reask.asking, alarm.state.in_([state for state in AlarmState if state.is_live]))
            .order_by((alarm.cohort == ALL).desc(), alarm.alarm_id)
            .limit(ALARMS_AT_ONCE)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [
            Asking(row.alarm_id, stored.alarm, stored.created_at, row.rounds, (row.first_place, row.stop_place))
            for row, stored in ((row, stored_alarm(row)) for row in rows)
        ]

    def log_end(self) -> int:
        with transaction(self._engine) as connection:
            return log_end(connection).next_place

    def pairs(self, alarm_id: int) -> list[Pair]:
        table = schema.reasked
        query = select(table).where(table.c.alarm_id == alarm_id).order_by(table.c.rank)
        with transaction(self._engine) as connection:
            return [_pair(row) for row in connection.execute(query)]

    def plan(self, alarm_id: int, prompts: Sequence[ChosenPrompt], *, reference: str) -> None:
        with transaction(self._engine) as connection:
            table = schema.reasked.c
            last = select(func.coalesce(func.max(table.rank) + 1, 0)).where(table.alarm_id == alarm_id)
            values = {
                "alarm_id": alarm_id,
                "rank": connection.execute(last).scalar_one(),
                "places": [prompt.place for prompt in prompts],
                "trace_ids": [prompt.trace_id for prompt in prompts],
                "chosen": [prompt.chosen for prompt in prompts],
                "reference": reference,
            }
            connection.execute(_PLAN, values)

    def logged(self, trace_ids: Sequence[str]) -> Mapping[str, LoggedAnswer]:
        with transaction(self._engine) as connection:
            rows = connection.execute(_LOGGED, {"ids": list(trace_ids)}).all()
        return {
            row.trace_id: LoggedAnswer(
                trace_id=row.trace_id,
                messages=[Message(message["role"], message["content"]) for message in row.messages],
                response=row.response,
                output_tokens=row.output_tokens if row.output_tokens_source == TokenSource.REPORTED else None,
                finish_reason=row.finish_reason,
            )
            for row in rows
        }

    def reserve(self, requests: int) -> int:
        with transaction(self._engine) as connection:
            left = self._left(connection)
            granted = max(min(requests, left.requests), 0) if left.tokens > 0 else 0
            budget = schema.reference_budget
            more = update(budget).where(budget.c.day == connection.execute(_TODAY).scalar_one())
            connection.execute(more.values(requests=budget.c.requests + granted))
            return granted

    def budget_left(self) -> Budget:
        table = schema.reference_budget
        with transaction(self._engine) as connection:
            today = connection.execute(_TODAY).scalar_one()
            spent = connection.execute(select(table).where(table.c.day == today)).one_or_none()
        return self._daily if spent is None else self._after(spent)

    def record(self, answers: Sequence[tuple[int, Pair]], *, tokens: int) -> None:
        with transaction(self._engine) as connection:
            self._spend(connection, tokens)
            if answers:
                connection.execute(_ANSWER, [_answer(alarm_id, pair) for alarm_id, pair in answers])

    def control_place(self) -> int | None:
        with transaction(self._engine) as connection:
            return connection.execute(select(schema.reference_control.c.next_place)).scalar_one_or_none()

    def write_control(self, entry: LogEntry | None, *, next_place: int, tokens: int) -> None:
        with transaction(self._engine) as connection:
            if entry is not None:
                append_entry(connection, entry)
            moved = upsert(schema.reference_control).values(role="control", next_place=next_place)
            changed = {"next_place": moved.excluded.next_place}
            connection.execute(moved.on_conflict_do_update(index_elements=["role"], set_=changed))
            self._spend(connection, tokens)

    def conclude(self, alarm_id: int, verdict: ReferenceVerdict, *, note: str) -> None:
        self._alarms.set_reference_verdict(alarm_id, verdict, note=note)
        with transaction(self._engine) as connection:  # a leader that ends in between finds the same verdict again
            done = update(schema.reask).where(schema.reask.c.alarm_id == alarm_id)
            connection.execute(done.values(asking=False))

    def request(self, alarm_id: int, *, signals: Collection[str], actor: Actor) -> None:
        stored = self._alarms.alarm(alarm_id)
        if stored is None:
            raise NotFound(f"alarm {alarm_id}: no such alarm")
        if stored.alarm.stream.signal not in signals or not stored.state.is_live:
            what = f"{stored.state}, on {stored.alarm.stream.signal}"
            raise Conflict(f"alarm {alarm_id} is {what}; what can be asked again is a live one on {', '.join(signals)}")
        with transaction(self._engine) as connection:
            new = upsert(schema.reask).values(alarm_id=alarm_id, asking=True, requested_by=clean(actor.name))
            again = {"asking": True, "requested_by": new.excluded.requested_by, "rounds": schema.reask.c.rounds + 1}
            connection.execute(new.on_conflict_do_update(index_elements=["alarm_id"], set_=again))
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("alarm.reask", f"alarm {alarm_id}", by=by, detail={})

    def _spend(self, connection: Connection, tokens: int) -> None:
        self._left(connection)  # which makes today's row
        budget = schema.reference_budget
        today = budget.c.day == connection.execute(_TODAY).scalar_one()
        connection.execute(update(budget).where(today).values(tokens=budget.c.tokens + tokens))

    def _left(self, connection: Connection) -> Budget:
        """Return what is left of today's budget, and hold it to the transaction's end."""
        table = schema.reference_budget
        today = connection.execute(_TODAY).scalar_one()
        connection.execute(upsert(table).values(day=today, requests=0, tokens=0).on_conflict_do_nothing())
        spent = connection.execute(select(table).where(table.c.day == today).with_for_update()).one()
        return self._after(spent)

    def _after(self, spent: Row[Any]) -> Budget:
        return Budget(self._daily.requests - spent.requests, self._daily.tokens - spent.tokens)


def _pair(row: Row[Any]) -> Pair:
    return Pair(
        rank=row.rank,
        place=row.place,
        trace_id=row.trace_id,
        chosen=row.chosen,
        outcome=None if row.outcome is None else AnswerOutcome(row.outcome),
        old=None if row.old is None else msgspec.convert(row.old, Measured),
        new=None if row.new is None else msgspec.convert(row.new, Measured),
    )


def _answer(alarm_id: int, pair: Pair) -> dict[str, Any]:
    return {
        "of_alarm": alarm_id,
        "at_rank": pair.rank,
        "came": pair.outcome,
        "was": None if pair.old is None else msgspec.to_builtins(pair.old),
        "is": None if pair.new is None else msgspec.to_builtins(pair.new),
    }
