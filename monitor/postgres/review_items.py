"""The items of the review queue in PostgreSQL: how they come into it other than by a page, and how they leave it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import Connection, Engine, text, update

from monitor.domain.alarm import AlarmState
from monitor.domain.label import PREFERENCE
from monitor.domain.order import Actor
from monitor.domain.review import Answer, ItemState, Reason
from monitor.errors import Conflict, NotFound
from monitor.observe.gather import ObservedTrace
from monitor.postgres import schema
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author
from monitor.review.queue import TEXT_GONE, TOO_LATE, Unfinished, give_up
from monitor.signals.estimand import ESTIMANDS

ALARM_PRIORITY = -1.0  # before what was drawn: the alarm is now
# A trace that was forgotten and came again keeps its item.
_SELECTED = text(
    "insert into review_item (trace_id, kind, probability, counted, reason, wanted)"
    " values (:trace_id, :kind, :probability, true, :reason, :wanted) on conflict (trace_id, kind) do nothing"
)
_TEXT = (
    "from stored_trace s join trace t on t.stored_on = s.stored_on and t.entry_id = s.entry_id"
    " and t.ordinal = s.ordinal where s.trace_id = "
)
_EXAMPLES = text(
    "insert into review_item (trace_id, kind, probability, counted, reason, wanted, priority)"  # noqa: S608
    " select trace_id, kind, 1, false, :reason, 1, :priority from ("
    "   select distinct unnest(examples) as trace_id from alarm where state = :state) as example"
    " cross join unnest(cast(:kinds as text[])) as kind"
    f" where exists (select {_TEXT} example.trace_id and t.response is not null and not t.truncated"
    "   and (kind <> :preference or t.reference_response is not null))"
    " and not exists (select from review_item i where i.trace_id = example.trace_id and i.kind = kind)"
    " order by trace_id, kind limit :limit on conflict (trace_id, kind) do nothing"
)
_TEXT_GONE = text(
    "update review_item i set state = 'missing', missing = :missing"  # noqa: S608
    " where (state = 'open' or (gold is not null and state = 'done'))"
    f" and not exists (select {_TEXT} i.trace_id and t.response is not null)"
)
_TOO_LATE = text(
    "update review_item i set state = 'missing', missing = :missing where state = 'open' and kind = :kind"
    " and exists (select from label_item l where l.estimand = :estimand and l.trace_id = i.trace_id"
    "   and l.value is null)"
)
_ACTIVE = text("select distinct annotator_id from review_verdict where at > now() - interval '7 days'")
_WAITING = text(
    "select i.item_id, array_agg(v.annotator_id) as annotators, bool_or(v.answer = 'label') as labelled"
    " from review_item i join review_verdict v using (item_id) where i.state = 'open' and v.undone_at is null"
    " group by i.item_id having max(v.at) < now() - :patience"
)
_FORGET_CLAIMS = text("delete from review_claim where until < now() - interval '1 day'")
_GOLD = text(
    "insert into review_item (trace_id, kind, probability, counted, reason, wanted, gold, state)"
    " select :trace_id, :kind, 1, false, :reason, 0, :gold, 'done'"
    f" where exists (select {_TEXT} :trace_id and t.response is not null and not t.truncated"
    "   and (:kind <> :preference or t.reference_response is not null))"
    " on conflict (trace_id, kind) do update set gold = excluded.gold returning item_id"
)
_COUNTS = text(
    "select state, count(*) as items from review_item"
    " where state = 'open' or created_at > now() - interval '7 days' group by state"
)
_ANSWERS = text(
    "select answer, count(*) as answers from review_verdict where at > now() - interval '1 day' and undone_at is null"
    " group by answer"
)


def insert_selected(connection: Connection, traces: Iterable[ObservedTrace]) -> None:
    """Put what was selected of *traces* into the queue, in the transaction that stores them."""
    items = [
        {
            "trace_id": item.trace.trace_id,
            "kind": drawn.kind,
            "probability": drawn.probability,
            "reason": drawn.reason,
            "wanted": drawn.wanted,
        }
        for item in traces
        for drawn in item.selections
        if drawn.selected
    ]
    if items:
        connection.execute(_SELECTED, items)


class PostgresReviewItems:
    """What the leader and the operator do to the queue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_alarm_examples(self, kinds: Sequence[str], *, limit: int) -> int:
        """Put the examples of open alarms into the queue, *limit* at most; no estimate counts them. Return how many."""
        values = {"reason": Reason.ALARM, "priority": ALARM_PRIORITY, "state": AlarmState.OPEN, "kinds": list(kinds)}
        with transaction(self._engine) as connection:
            return connection.execute(_EXAMPLES, values | {"preference": PREFERENCE, "limit": limit}).rowcount

    def tidy(self, patience: timedelta) -> None:
        """Take out of the queue what cannot be judged any more, or counts no more, or is left for nobody."""
        with transaction(self._engine) as connection:
            connection.execute(_TEXT_GONE, {"missing": TEXT_GONE})
            for estimand in ESTIMANDS.values():
                connection.execute(_TOO_LATE, {"missing": TOO_LATE, "kind": estimand.kind, "estimand": estimand.name})
            active = frozenset(connection.execute(_ACTIVE).scalars())
            for row in connection.execute(_WAITING, {"patience": patience}).all():
                outcome = give_up(Unfinished(frozenset(row.annotators), labelled=row.labelled), active)
                if outcome is not None:
                    table = schema.review_item
                    changed = update(table).where(table.c.item_id == row.item_id, table.c.state == ItemState.OPEN)
                    connection.execute(changed.values(state=outcome[0], missing=outcome[1]))
            connection.execute(_FORGET_CLAIMS)

    def make_gold(self, trace_id: str, kind: str, value: float, *, actor: Actor) -> int:
        """Let annotators be compared with the known verdict *value* on a trace; return the item's number.

        Raises `NotFound` for a trace whose text is not there, and `Conflict` while its item is open.
        """
        trace_id, kind = clean(trace_id), clean(kind)
        values = {"trace_id": trace_id, "kind": kind, "gold": value, "reason": Reason.GOLD, "preference": PREFERENCE}
        table = schema.review_item.c
        with transaction(self._engine) as connection:
            known = schema.review_item.select().where(table.trace_id == trace_id, table.kind == kind).with_for_update()
            item = connection.execute(known).one_or_none()
            if item is not None and item.state == ItemState.OPEN:
                raise Conflict(f"trace {trace_id!r}: its item {item.item_id} is open; wait until it is judged")
            item_id = connection.execute(_GOLD, values).scalar_one_or_none()
            if item_id is None:
                raise NotFound(f"trace {trace_id!r}: no text of it that a {kind} could be given to")
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("review.gold", f"item {item_id}", by=by, detail={"value": value})
            return int(item_id)

    def counts(self) -> dict[str, int]:
        """Return the items by state: the open ones, and the others of the last seven days."""
        with transaction(self._engine) as connection:
            found = {row.state: row.items for row in connection.execute(_COUNTS)}
        return {state: found.get(state, 0) for state in ItemState}

    def answers(self) -> dict[str, int]:
        """Return the answers of the last day, by what they are."""
        with transaction(self._engine) as connection:
            found = {row.answer: row.answers for row in connection.execute(_ANSWERS)}
        return {answer: found.get(answer, 0) for answer in Answer}
