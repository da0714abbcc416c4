"""Answers to items of the review queue in PostgreSQL: each is kept with the label that it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from monitor.domain.label import Label
from monitor.domain.review import Answer, AnswerGiven, ItemState
from monitor.errors import NotFound
from monitor.postgres import schema
from monitor.postgres.document import clean, document
from monitor.postgres.labels import add_labels
from monitor.review.queue import label_id_of, outcome_of

_STANDING = text(
    "select distinct on (annotator_id) answer from review_verdict where item_id = :item_id and undone_at is null"
    " order by annotator_id, verdict_id desc"
)


def hold_item(connection: Connection, item_id: int) -> Row[Any]:
    """Return an item, held to the transaction's end; raises `NotFound`."""
    query = select(schema.review_item).where(schema.review_item.c.item_id == item_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("there is no such item")
    return row


def standing_answer(connection: Connection, item_id: int, annotator: str) -> Row[Any] | None:
    """Return what *annotator* says of an item; None where they say nothing, or took it back."""
    verdict = schema.review_verdict
    mine = verdict.c.item_id == item_id, verdict.c.annotator_id == annotator, verdict.c.undone_at.is_(None)
    return connection.execute(select(verdict).where(*mine).order_by(verdict.c.verdict_id.desc())).first()


def withdraw_answers(connection: Connection, item_id: int, annotator: str) -> Row[Any] | None:
    """Take back what *annotator* says of an item, with its label; return the latest answer, if there was one."""
    verdict, label = schema.review_verdict, schema.label
    mine = verdict.c.item_id == item_id, verdict.c.annotator_id == annotator, verdict.c.undone_at.is_(None)
    undone = update(verdict).where(*mine).values(undone_at=func.clock_timestamp()).returning(verdict)
    rows = connection.execute(undone).all()
    withdrawn = update(label).where(label.c.label_id.in_([row.label_id for row in rows]))
    connection.execute(withdrawn.values(withdrawn_at=func.clock_timestamp()))
    return max(rows, key=lambda row: row.verdict_id, default=None)


def keep_answer(
    connection: Connection,
    item: Row[Any],
    annotator: str,
    said: AnswerGiven,
    *,
    policy_first: bool | None,
    criteria_version: str | None,
    at: datetime | None = None,
) -> None:
    """Keep what *annotator* says of the policy's answer, *at* a time or now; *item* is held by this transaction."""
    verdict, claim = schema.review_verdict, schema.review_claim
    mine = verdict.c.item_id == item.item_id, verdict.c.annotator_id == annotator
    number = connection.execute(select(func.count()).where(*mine)).scalar_one()
    if at is None:
        at = connection.execute(select(func.clock_timestamp())).scalar_one().astimezone(UTC)
    label_id = label_id_of(item.item_id, annotator, number) if said.answer is Answer.LABEL else None
    if label_id is not None and said.value is not None:
        label = Label(
            label_id=label_id,
            timestamp=at,
            trace_id=item.trace_id,
            kind=item.kind,
            value=said.value,
            annotator_id=annotator,
            criteria_version=criteria_version,
            inclusion_probability=item.probability if item.counted else None,
            dimensions=said.dimensions,
        )
        add_labels(connection, [label])
    values = {
        "item_id": item.item_id,
        "annotator_id": annotator,
        "answer": said.answer,
        "value": said.value,
        "policy_first": policy_first,
        "criteria_version": criteria_version,
        "dimensions": document(dict(said.dimensions)),
        "note": clean(said.note),
        "seconds": said.seconds,
        "label_id": label_id,
        "at": at,
    }
    connection.execute(insert(verdict).values(values))
    connection.execute(delete(claim).where(claim.c.item_id == item.item_id, claim.c.annotator_id == annotator))
    settle_item(connection, item)


def settle_item(connection: Connection, item: Row[Any]) -> None:
    """Bring an item's state in line with the answers that stand: the latest of each annotator."""
    table = schema.review_item
    answers = connection.execute(_STANDING, {"item_id": item.item_id}).scalars()
    state, missing = outcome_of(item.wanted, [Answer(answer) for answer in answers])
    done_at = func.coalesce(table.c.done_at, func.now()) if state is ItemState.DONE else None
    changed = {"state": state, "missing": missing, "done_at": done_at}
    connection.execute(update(table).where(table.c.item_id == item.item_id).values(changed))
