"""The review queue as operators see it: how it stands, and its items for other tools to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.domain.label import KIND_PATTERN, PREFERENCE
from monitor.domain.order import Actor
from monitor.domain.review import Answer, ReviewStatus
from monitor.ingest.formats.native import MAX_NAME_CHARACTERS
from monitor.review.exchange import Exported, Imported, ItemPlace, Read, Returned
from monitor.web.auth import Operator, Viewer
from monitor.web.paging import LINK, Page, paged
from monitor.web.problem import describe
from monitor.web.state import Instant, kept

MAX_ANSWERS = 1000
router = APIRouter(prefix="/review", tags=["review"])


class Queue(Protocol):
    """Each that gives or takes texts keeps in the audit who asked."""

    def status(self) -> ReviewStatus: ...

    def export(
        self, *, every: bool, limit: int, actor: Actor, after: ItemPlace | None = None
    ) -> Sequence[tuple[ItemPlace, Exported]]:
        """Return open items, or *every* one, the next to be judged first; those behind *after* where it is given."""
        ...

    def take_all(self, answers: Read, *, actor: Actor) -> Imported:
        """Keep answers, each by itself; what was taken before changes nothing."""
        ...

    def make_gold(self, trace_id: str, kind: str, value: float, *, actor: Actor) -> int:
        """Let annotators be compared with a known verdict; return the item's number.

        Raises `NotFound` for a trace whose text is not there, and `Conflict` while its item is open.
        """
        ...


class ItemMessage(BaseModel):
    role: str
    content: str


class ExportedItem(BaseModel):
    token: str = Field(description="by which its answer is found again")
    kind: str
    messages: list[ItemMessage]
    answers: list[str] = Field(description="two in the order in which they are to be shown, or one")
    criteria_version: str


class ReturnedAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: str = Field(description="of the item, as the export has it")
    annotator: str
    answer: Answer
    place: str = Field("", description="where it stands with you, for whoever reads a refusal")
    value: float | None = Field(None, allow_inf_nan=False, description="of what stood first")
    at: Instant | None = None
    criteria_version: str | None = None
    seconds: float | None = Field(None, allow_inf_nan=False)
    note: str = ""
    dimensions: Mapping[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answers: list[ReturnedAnswer] = Field(min_length=1, max_length=MAX_ANSWERS)


class GoldVerdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    trace_id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=r"^[^\x00]*$")]
    value: float = Field(ge=0, le=1, allow_inf_nan=False, description="1: its answer is better; 0: its reference is")
    kind: str = Field(PREFERENCE, pattern=KIND_PATTERN, description="of the label")


class GoldItem(BaseModel):
    item_id: int


QueuePort = Annotated[Queue, kept("queue")]


@router.get("/status")
def get_status(_: Viewer, queue: QueuePort) -> ReviewStatus:
    """Return how many items wait, what was answered in a day, and how often a trace is drawn."""
    return queue.status()


@router.get("/items", responses={200: {"headers": LINK}})
def list_items(
    actor: Operator,
    queue: QueuePort,
    page: Annotated[Page[ItemPlace], paged(ItemPlace, 100)],
    *,
    every: Annotated[bool, Query(alias="all", description="those too that want no answer any more")] = False,
) -> Sequence[ExportedItem]:
    """List items with their texts, the next to be judged first: blind, as files for other tools hold them.

    For operators alone; the audit keeps who took how many.
    """
    found = queue.export(every=every, limit=page.wanted, actor=actor, after=page.after)
    rows = page.give(found, lambda pair: pair[0])
    return [
        ExportedItem(
            token=item.token,
            kind=item.kind,
            messages=[ItemMessage(role=message.role, content=message.content) for message in item.messages],
            answers=list(item.answers),
            criteria_version=item.criteria_version,
        )
        for _, item in rows
    ]


@router.post("/import")
def import_answers(actor: Operator, queue: QueuePort, body: Batch) -> Imported:
    """Take the answers that another tool's annotators gave; what was taken before changes nothing.

    Each is taken by itself: `refusals` tells which were not, and why.
    """
    answers = [Returned(**given.model_dump()) for given in body.answers]
    return queue.take_all(answers, actor=actor)


@router.post("/gold", responses=describe(404, 409))
def make_gold(actor: Operator, queue: QueuePort, body: GoldVerdict) -> GoldItem:
    """Show a trace whose verdict is known to annotators, who are compared with it and not told."""
    return GoldItem(item_id=queue.make_gold(body.trace_id, body.kind, body.value, actor=actor))
