"""Dead letters: records that could not be read, and why."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from monitor.domain.order import Actor
from monitor.ingest.letter import Letter, LetterFilter, LetterKey, LetterRow, Place, Replay, place_of
from monitor.web.auth import Operator
from monitor.web.paging import LINK, Page, paged
from monitor.web.problem import describe
from monitor.web.state import Instant, kept

MAX_REPLAYED = 10_000  # letters that one request looks through
MAX_NAMED = 100
_PLACE: JsonDict = {"pattern": "^[^:]+:[0-9]{1,18}:[0-9]{1,18}$", "examples": ["traces.dead-letters:0:7"]}
router = APIRouter(tags=["dead letters"])


class Letters(Protocol):
    def letters(self, wanted: LetterFilter) -> Sequence[tuple[LetterKey, LetterRow]]:
        """Return those of the newest letters that fit, in any order; raises `Unavailable` where no broker answers."""
        ...


class LetterDesk(Protocol):
    """What is done with single letters; each that shows or writes records is kept in the audit."""

    def letter(self, place: Place, *, actor: Actor) -> Letter:
        """Return a letter with its record; raise `NotFound` for one that is not there."""
        ...

    def replay(
        self, wanted: LetterFilter, *, limit: int | None, most: int, actor: Actor, dry_run: bool = False
    ) -> Replay:
        """Write letters' records back to their topics, or with *dry_run* say which.

        Raises `InvalidInput` where there are more than *most*, and `Conflict` while another replay goes on.
        """
        ...


class LetterHeader(BaseModel):
    name: str
    value_base64: str


class LetterContent(BaseModel):
    row: LetterRow
    key_base64: str | None
    headers: list[LetterHeader] = Field(description="the record's own")
    value_base64: str


class ReplayOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    letters: list[Annotated[str, Field(max_length=300, json_schema_extra=_PLACE)]] = Field(
        default_factory=list, max_length=MAX_NAMED, description="by their places, topic:partition:offset; all without"
    )
    reason: Annotated[str, Field(max_length=1000)] | None = None
    topic: Annotated[str, Field(max_length=1000)] | None = Field(None, description="that the records came from")
    since: Instant | None = Field(None, description="of the letter: when its record was rejected")
    until: Instant | None = Field(None, description="exclusive")
    limit: Annotated[int, Field(ge=1, le=MAX_REPLAYED)] | None = Field(None, description="the oldest N alone")
    dry_run: bool = Field(False, description="say what would be written, and write nothing")


DeskPort = Annotated[LetterDesk, kept("letter_desk")]


@router.get("/dead-letters/{letter}", responses=describe(404))
def get_letter(
    actor: Operator,
    desk: DeskPort,
    letter: Annotated[
        str, Path(max_length=300, description="its place, as its listing tells it", json_schema_extra=_PLACE)
    ],
) -> LetterContent:
    """Return a letter with what its record held; the audit keeps who read it."""
    found = desk.letter(place_of(letter), actor=actor)
    return LetterContent(
        row=LetterRow.of(found),
        key_base64=None if found.key is None else b64encode(found.key).decode(),
        headers=[LetterHeader(name=name, value_base64=b64encode(value).decode()) for name, value in found.headers],
        value_base64=b64encode(found.value).decode(),
    )


@router.post("/dead-letters/replay", responses=describe(404, 409))
def replay_letters(actor: Operator, desk: DeskPort, order: ReplayOrder) -> Replay:
    """Write letters' records back to their topics, where each that is good now counts once.

    It refuses to look through more than 10,000 letters: narrow them by `since`, or let the command do it beside the
    daemon.
    """
    places = frozenset(map(place_of, order.letters))
    wanted = LetterFilter(reason=order.reason, topic=order.topic, since=order.since, until=order.until, places=places)
    return desk.replay(wanted, limit=order.limit, most=MAX_REPLAYED, actor=actor, dry_run=order.dry_run)


@router.get("/dead-letters", responses={**describe(404), 200: {"headers": LINK}})
def list_letters(
    _: Operator,
    letters: Annotated[Letters, kept("letters")],
    page: Annotated[Page[LetterKey], paged(LetterKey, 100)],
    *,
    reason: Annotated[str | None, Query(max_length=1000, description="one of docs/ingest.md, not_json say")] = None,
    topic: Annotated[str | None, Query(max_length=1000, description="that the record came from")] = None,
    since: Annotated[Instant | None, Query(description="of the letter: when its record was rejected")] = None,
    until: Annotated[Instant | None, Query(description="exclusive")] = None,
) -> Sequence[LetterRow]:
    """List dead letters without what their records held, the newest first.

    It looks at the newest 1,000 records of each partition of the dead-letter topic, read at most once in ten seconds.
    `rlhf-monitor dead-letters list` looks at all of them; `show` and `replay` take a letter's place.
    """
    wanted = LetterFilter(reason=reason, topic=topic, since=since, until=until)
    rows = page.cut(letters.letters(wanted), lambda found: found[0], newest_first=True)
    return [row for _, row in rows]
