"""The review queue: what an annotator is shown, and what they answer.

Nothing here tells which answer is the policy's, which policy it is, or why an item is asked for.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from monitor.domain.review import Answer, AnswerGiven, Hand, Progress, TakenBack
from monitor.web.auth import Annotator
from monitor.web.problem import describe
from monitor.web.state import MAX_NUMBER, kept

MAX_NOTE_CHARACTERS = 500
MAX_DIMENSIONS = 20
MAX_HAND = 20

router = APIRouter(prefix="/review", tags=["review"])
ItemNumber = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Reviews(Protocol):
    """The queue; each change is one transaction."""

    def next_items(self, annotator: str, *, limit: int) -> Hand:
        """Return what *annotator* has in hand, filled up to *limit*."""
        ...

    def answer(self, annotator: str, given: AnswerGiven) -> Progress:
        """Keep an answer; the same one again changes nothing.

        Raises `NotFound`, and `Conflict` where the item is not theirs to answer, or no more.
        """
        ...

    def undo(self, annotator: str, item_id: int | None = None) -> TakenBack:
        """Take back an answer, the latest where no item is named; raises `NotFound` and `Conflict`."""
        ...


ReviewsPort = Annotated[Reviews, kept("reviews")]


_VALUE_WITH_LABEL: JsonDict = {
    "anyOf": [
        {"properties": {"answer": {"enum": [one.value for one in Answer if one is not Answer.LABEL]}}},
        {"properties": {"value": {"type": "number"}}, "required": ["value"]},
    ]
}


class AnswerBody(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra=_VALUE_WITH_LABEL)

    item_id: ItemNumber
    answer: Answer
    value: Share | None = Field(
        None,
        description="of what stood first: 1 it is better, 0.5 a tie, 0 the other is;"
        " of a single answer: 1 yes, 0 no. Wanted with `label`, passed over otherwise",
    )
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    note: Annotated[str, StringConstraints(max_length=MAX_NOTE_CHARACTERS)] = ""
    dimensions: dict[_Name, Share] = Field(
        default_factory=dict,
        max_length=MAX_DIMENSIONS,
        description="judged apart, each as `value` is",
        json_schema_extra={"additionalProperties": False, "propertyNames": {"minLength": 1, "maxLength": 100}},
    )


class UndoBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item_id: ItemNumber | None = Field(None, description="whose answer is taken back; without it the latest one is")


class Answered(BaseModel):
    progress: Progress


_THEN: dict[int | str, dict[str, Any]] = {
    200: {
        "links": {
            "answer": {
                "operationId": "answer_api_v1_review_answers_post",
                "requestBody": {"item_id": "$response.body#/items/0/item_id", "answer": "skip"},
            }
        }
    }
}


@router.get("/next", responses=_THEN)
def next_items(
    actor: Annotator,
    reviews: ReviewsPort,
    limit: Annotated[int, Query(ge=1, le=MAX_HAND, description="items in hand at most")] = 5,
) -> Hand:
    """Return the items before you, filled up to `limit`; each stays yours for a while, and is shown to few others.

    `answers` stand in the order in which they are to be shown. It differs from annotator to annotator.
    """
    return reviews.next_items(actor.name, limit=limit)


@router.post("/answers", responses=describe(404, 409))
def answer(actor: Annotator, reviews: ReviewsPort, body: AnswerBody) -> Answered:
    """Answer an item before you: `label` it, `skip` it for somebody else, or `flag` it as one for nobody.

    An answer may be sent again; what is not before you any more is refused with 409.
    """
    given = AnswerGiven(
        item_id=body.item_id,
        answer=body.answer,
        value=body.value,
        seconds=body.seconds,
        note=body.note,
        dimensions=body.dimensions,
    )
    return Answered(progress=reviews.answer(actor.name, given))


@router.post("/undo", responses=describe(404, 409))
def undo(actor: Annotator, reviews: ReviewsPort, body: UndoBody) -> TakenBack:
    """Take back your latest answer, and return its item as it was shown."""
    return reviews.undo(actor.name, body.item_id)
