"""The review queue in PostgreSQL: what is handed out to whom, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select, text

from monitor.domain.label import PREFERENCE
from monitor.domain.review import AnswerGiven, Hand, ItemState, Progress, ShownItem, ShownMessage, TakenBack
from monitor.errors import Conflict, NotFound
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.kept_answers import note_made
from monitor.postgres.review_answers import hold_item, keep_answer, settle_item, standing_answer, withdraw_answers
from monitor.postgres.review_criteria import active_criteria
from monitor.review.queue import TEXT_GONE, QueueRules, answer_of

HAND_LOCK = 0x524C4846_0C  # who gets what is decided for one annotator after the other
_HELD = text(
    "select c.item_id from review_claim c join review_item i using (item_id) where c.annotator_id = :annotator"
    " and c.until > now() and (i.state = 'open' or (i.gold is not null and i.state = 'done'))"
    " order by c.shown_at limit :limit"
)
_RENEW = text(
    "update review_claim set until = now() + make_interval(secs => :seconds), criteria_version = :criteria_version"
    " where annotator_id = :annotator and item_id = any(:items)"
)
_NOT_MINE = (
    " not exists (select from review_verdict v where v.item_id = i.item_id and v.annotator_id = :annotator"
    "   and v.undone_at is null)"
    " and not exists (select from review_claim c where c.item_id = i.item_id and c.annotator_id = :annotator"
    "   and c.until > now())"
)
# An item that somebody answers at this moment is passed over: it may be done.
_FREE = text(
    f"select i.item_id, i.kind from review_item i where i.state = 'open' and {_NOT_MINE}"  # noqa: S608
    " and i.wanted > (select count(*) from review_verdict v where v.item_id = i.item_id and v.answer = 'label'"
    "   and v.undone_at is null) + (select count(*) from review_claim c where c.item_id = i.item_id"
    "   and c.annotator_id <> :annotator and c.until > now())"
    " order by i.priority, i.item_id limit :limit for update of i skip locked"
)
_GOLD = text(
    f"select i.item_id, i.kind from review_item i where i.gold is not null and i.state = 'done' and {_NOT_MINE}"  # noqa: S608
    " order by md5(i.item_id || '/' || :annotator) limit :limit"
)
_CLAIM = text(
    "insert into review_claim (item_id, annotator_id, policy_first, criteria_version, shown_at, until)"
    " values (:item_id, :annotator, :policy_first, :criteria_version, clock_timestamp(),"
    "   now() + make_interval(secs => :seconds))"
    " on conflict (item_id, annotator_id) do update set criteria_version = excluded.criteria_version,"
    "   shown_at = excluded.shown_at, until = excluded.until"
)
_SHOWN = text(
    "select i.item_id, i.kind, c.policy_first, c.criteria_version, t.messages, t.response, t.reference_response"
    " from review_claim c join review_item i using (item_id) left join stored_trace s on s.trace_id = i.trace_id"
    " left join trace t on t.stored_on = s.stored_on and t.entry_id = s.entry_id and t.ordinal = s.ordinal"
    " where c.annotator_id = :annotator and c.item_id = any(:items) order by c.shown_at"
)
_GONE = text(
    "update review_item set state = 'missing', missing = :missing where item_id = any(:items) and state <> 'missing'"
)
_PROGRESS = text(
    "select (select count(*) from review_verdict where annotator_id = :annotator and undone_at is null"
    "   and at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc') as answered_today,"
    " (select count(*) from review_item where state = 'open') as open"
)
_LATEST = text(
    "select item_id from review_verdict where annotator_id = :annotator and undone_at is null"
    " and (cast(:item_id as bigint) is null or item_id = :item_id) order by verdict_id desc limit 1"
)


class PostgresReviews:
    """The queue as annotators use it, many at once."""

    def __init__(self, engine: Engine, rules: QueueRules) -> None:
        self._engine = engine
        self._rules = rules

    def next_items(self, annotator: str, *, limit: int) -> Hand:
        """Return what *annotator* has in hand, filled up to *limit*: what they hold comes first, as it was shown."""
        with transaction(self._engine) as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": HAND_LOCK})
            criteria = active_criteria(connection)
            held = list(connection.execute(_HELD, {"annotator": annotator, "limit": limit}).scalars())
            shown_by = self._shown_by(annotator, criteria.version)
            connection.execute(_RENEW, shown_by | {"items": held})
            dealt = self._deal(connection, annotator, held=len(held), more=limit - len(held))
            if dealt:
                connection.execute(_CLAIM, [shown_by | claim for claim in dealt])
            wanted = held + [claim["item_id"] for claim in dealt]
            rows = connection.execute(_SHOWN, {"annotator": annotator, "items": wanted}).all()
            shown = {row.item_id: _shown(row) for row in rows}
            gone = [item_id for item_id, item in shown.items() if item is None]
            connection.execute(_GONE, {"items": gone, "missing": TEXT_GONE})
            items = tuple(item for item in shown.values() if item is not None)
            return Hand(items, criteria, self._progress(connection, annotator), annotator)

    def answer(self, annotator: str, given: AnswerGiven) -> Progress:
        """Keep what *annotator* says of an item that was shown to them; the same answer again changes nothing.

        Raises `NotFound`, and `Conflict` where the item is not theirs to answer, or no more.
        """
        claim = schema.review_claim
        mine = claim.c.item_id == given.item_id, claim.c.annotator_id == annotator
        with transaction(self._engine) as connection:
            item = hold_item(connection, given.item_id)
            shown = connection.execute(select(claim).where(*mine)).one_or_none()
            if shown is None:
                known = standing_answer(connection, item.item_id, annotator)
                if known is None or not _says(known, given):
                    raise Conflict("this item is not before you: /api/v1/review/next tells what is")
                return self._progress(connection, annotator)
            if item.state == ItemState.MISSING:
                raise Conflict("this item is asked of nobody any more")
            said = answer_of(given, shown.policy_first)
            how = {"policy_first": shown.policy_first, "criteria_version": shown.criteria_version}
            keep_answer(connection, item, annotator, said, **how)
            note_made(connection)
            return self._progress(connection, annotator)

    def undo(self, annotator: str, item_id: int | None = None) -> TakenBack:
        """Take back the latest answer of *annotator*, on one item or on all; raises `NotFound` without one.

        Its label stays, and counts no more; a block of labels that was counted meanwhile stays as it is.
        """
        with transaction(self._engine) as connection:
            latest = connection.execute(_LATEST, {"annotator": annotator, "item_id": item_id}).scalar_one_or_none()
            if latest is None:
                raise NotFound("there is no answer of yours to take back")
            item = hold_item(connection, latest)
            row = withdraw_answers(connection, latest, annotator)
            if row is None:
                raise Conflict("this answer was taken back at the same time")
            note_made(connection)
            claim = {"item_id": item.item_id, "policy_first": row.policy_first}
            connection.execute(_CLAIM, self._shown_by(annotator, row.criteria_version) | claim)
            settle_item(connection, item)
            again = connection.execute(_SHOWN, {"annotator": annotator, "items": [item.item_id]}).one()
            shown = _shown(again)
            if shown is None:
                raise Conflict("the text of this item is gone, so its answer stays")
            return TakenBack(shown, self._progress(connection, annotator))

    def _deal(self, connection: Connection, annotator: str, *, held: int, more: int) -> Sequence[dict[str, Any]]:
        """Return the items that *annotator* gets now, gold among them, with how each is shown."""
        if more <= 0:
            return []
        verdict = schema.review_verdict.c
        answered = connection.execute(select(func.count()).where(verdict.annotator_id == annotator)).scalar_one()
        turns = [self._rules.is_gold_turn(annotator, answered + held + turn) for turn in range(more)]
        mine = {"annotator": annotator, "limit": more}
        free = list(connection.execute(_FREE, mine))
        gold = list(connection.execute(_GOLD, mine)) if any(turns) else []
        dealt = []
        for is_gold in turns:
            pile = gold if is_gold and gold else free
            dealt += [pile.pop(0)] if pile else []
        return [
            {"item_id": row.item_id, "policy_first": self._rules.policy_first(row.item_id, annotator, row.kind)}
            for row in dealt
        ]

    def _shown_by(self, annotator: str, criteria_version: str) -> dict[str, Any]:
        return {"annotator": annotator, "criteria_version": criteria_version, "seconds": self._rules.claim_seconds}

    def _progress(self, connection: Connection, annotator: str) -> Progress:
        row = connection.execute(_PROGRESS, {"annotator": annotator}).one()
        return Progress(row.answered_today, row.open, self._rules.daily_budget)


def _says(known: Row[Any], given: AnswerGiven) -> bool:
    """Say whether *given* came before, as it is kept: a client that got no reply sends it again."""
    said = answer_of(given, known.policy_first)
    return (known.answer, known.value) == (said.answer, said.value)


def _shown(row: Row[Any]) -> ShownItem | None:
    """Return the item as its annotator sees it; None where its text is gone."""
    answers = (row.response, row.reference_response) if row.kind == PREFERENCE else (row.response,)
    if None in answers:
        return None
    return ShownItem(
        item_id=row.item_id,
        kind=row.kind,
        messages=tuple(ShownMessage(message["role"], message["content"]) for message in row.messages),
        answers=answers if row.policy_first is not False else answers[::-1],
        criteria_version=row.criteria_version,
    )
