"""JSON lines of our own: an item a line, and the same line with its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from monitor.domain.review import Answer
from monitor.review.exchange import Exported, Read, Returned, Unread

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class AnsweredLine(msgspec.Struct, frozen=True):
    item: str
    annotator: Annotated[str, msgspec.Meta(min_length=1)]
    answer: Answer = Answer.LABEL
    value: Share | None = None
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    criteria_version: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    note: str = ""
    dimensions: dict[str, Share] = {}


def write(items: Iterable[Exported]) -> Iterator[bytes]:
    for item in items:
        line = {
            "item": item.token,
            "kind": item.kind,
            "messages": item.messages,
            "answers": item.answers,
            "criteria_version": item.criteria_version,
        }
        yield msgspec.json.encode(line) + b"\n"


def read(content: bytes) -> Read:
    """Return each line's answer; a line without an annotator was not answered, and is passed over."""
    found: list[Returned | Unread] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            if "annotator" not in msgspec.json.decode(line, type=dict[str, msgspec.Raw]):
                continue
            given = msgspec.json.decode(line, type=AnsweredLine)
        except msgspec.MsgspecError as error:
            found.append(Unread(f"line {number}", str(error)))
            continue
        found.append(
            Returned(
                place=f"line {number}",
                token=given.item,
                annotator=given.annotator,
                answer=given.answer,
                value=given.value,
                at=None if given.timestamp is None else given.timestamp.astimezone(UTC),
                criteria_version=given.criteria_version,
                seconds=given.seconds,
                note=given.note,
                dimensions=given.dimensions,
            )
        )
    return found
