"""The review queue and files: items that leave, and answers that come back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from sqlalchemy import Connection, Engine, func, select, text

from monitor.domain.label import PREFERENCE
from monitor.domain.order import Actor
from monitor.domain.review import AnswerGiven
from monitor.domain.trace import Message
from monitor.errors import InvalidInput, NotFound
from monitor.postgres import schema
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean
from monitor.postgres.engine import transaction
from monitor.postgres.review_answers import hold_item, keep_answer, standing_answer, withdraw_answers
from monitor.postgres.review_criteria import active_criteria
from monitor.retraining.records import Author
from monitor.review.exchange import (
    AWAY,
    MAX_NAME_CHARACTERS,
    Exported,
    Imported,
    ItemPlace,
    Read,
    Returned,
    Taken,
    Unread,
    item_of,
    token_of,
)
from monitor.review.queue import QueueRules, answer_of

_ITEMS = text(
    "select i.item_id, i.priority, i.kind, t.messages, t.response, t.reference_response"
    " from review_item i join stored_trace s on s.trace_id = i.trace_id"
    " join trace t on t.stored_on = s.stored_on and t.entry_id = s.entry_id and t.ordinal = s.ordinal"
    " where (:all or i.state = 'open') and t.response is not null"
    " and (i.kind <> :preference or t.reference_response is not null)"
    " and (cast(:item_id as bigint) is null or (i.priority, i.item_id) > (:priority, :item_id))"
    " order by i.priority, i.item_id limit :limit"
)


class PostgresReviewFiles:
    def __init__(self, engine: Engine, rules: QueueRules) -> None:
        self._engine = engine
        self._rules = rules

    def export(
        self, *, every: bool, limit: int, actor: Actor, after: ItemPlace | None = None
    ) -> list[tuple[ItemPlace, Exported]]:
        """Return the open items, or *every* one whose text is there, the next to be judged first.

        Where *after* is given, those behind it. The audit keeps who took them.
        """
        priority, item_id = (0.0, None) if after is None else after
        place = {"priority": priority, "item_id": item_id}
        chosen = {"all": every, "limit": limit, "preference": PREFERENCE} | place
        found = []
        with transaction(self._engine) as connection:
            version = active_criteria(connection).version
            for row in connection.execute(_ITEMS, chosen):
                pair = row.kind == PREFERENCE
                answers = (row.response, row.reference_response) if pair else (row.response,)
                is_turned = self._rules.policy_first(row.item_id, AWAY, row.kind) is False
                exported = Exported(
                    token=token_of(row.item_id, self._rules.key),
                    kind=row.kind,
                    messages=tuple(Message(message["role"], message["content"]) for message in row.messages),
                    answers=answers[::-1] if is_turned else answers,
                    criteria_version=version,
                )
                found.append((ItemPlace(row.priority, row.item_id), exported))
            if found:
                _record(connection, "review.export", actor, {"items": len(found), "all": every})
        return found

    def take_all(self, answers: Read, *, actor: Actor) -> Imported:
        """Keep *answers*, each by itself; return what became of them. The audit keeps who brought them."""
        outcomes, refusals = dict.fromkeys(Taken, 0), []
        for answer in answers:
            try:
                if isinstance(answer, Unread):
                    raise InvalidInput(answer.reason)
                outcomes[self.take(answer)] += 1
            except (InvalidInput, NotFound) as reason:
                outcomes[Taken.REFUSED] += 1
                refusals.append(f"{answer.place}: {reason}")
        with transaction(self._engine) as connection:
            _record(connection, "review.import", actor, {str(outcome): count for outcome, count in outcomes.items()})
        return Imported(outcomes, tuple(refusals))

    def take(self, returned: Returned) -> Taken:
        """Keep an answer that came back, once; of several of one annotator the latest counts.

        Raises `InvalidInput` and `NotFound` for one that belongs to no item, or names criteria that nobody knows.
        """
        item_id, annotator = item_of(returned.token, self._rules.key), clean(returned.annotator[:MAX_NAME_CHARACTERS])
        with transaction(self._engine) as connection:
            item = hold_item(connection, item_id)
            version = None if returned.criteria_version is None else clean(returned.criteria_version)
            known_version = select(schema.criteria.c.version).where(schema.criteria.c.version == version)
            if version is not None and connection.execute(known_version).first() is None:
                raise InvalidInput(f"criteria {version[:60]!r} are not known: `review criteria list` shows which are")
            policy_first = self._rules.policy_first(item_id, AWAY, item.kind)
            dimensions = {clean(name[:MAX_NAME_CHARACTERS]): value for name, value in returned.dimensions.items()}
            given = AnswerGiven(item_id, returned.answer, returned.value, returned.seconds, returned.note, dimensions)
            said = answer_of(given, policy_first)
            known = standing_answer(connection, item_id, annotator)
            at = returned.at
            if known is not None:
                same = (known.answer, known.value, known.dimensions) == (said.answer, said.value, dict(said.dimensions))
                if same or (at is not None and at <= known.at):
                    return Taken.KNOWN
                withdraw_answers(connection, item_id, annotator)
            if at is not None:
                at = min(at, connection.execute(select(func.now())).scalar_one().astimezone(UTC))
            keep_answer(connection, item, annotator, said, policy_first=policy_first, criteria_version=version, at=at)
            return Taken.NEW


def _record(connection: Connection, action: str, by: Actor, detail: Mapping[str, object]) -> None:
    PostgresAudit(connection).record(action, "review queue", by=Author(by.name, by.role), detail=detail)
