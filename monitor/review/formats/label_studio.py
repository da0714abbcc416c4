"""Label Studio: tasks for its Pairwise tag, and its JSON export.

A task's answers stand in the tags `answer1` and `answer2`, so that `left` is the first. Pairwise knows no tie: that,
and what is asked about a single answer, are choices of a tag beside it (docs/review.md has the configuration).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from monitor.domain.label import PREFERENCE
from monitor.domain.review import Answer
from monitor.errors import InvalidInput
from monitor.review.exchange import FIRST, SECOND, Exported, Read, Returned, Unread, words_of

SIDES = {"left": FIRST, "right": SECOND}


class Data(msgspec.Struct, frozen=True):
    item: str
    kind: str = PREFERENCE
    criteria_version: str | None = None


class Person(msgspec.Struct, frozen=True):
    id: int
    email: str = ""


class Annotation(msgspec.Struct, frozen=True):
    result: list[dict[str, Any]] = []
    completed_by: int | str | Person | None = None
    was_cancelled: bool = False
    updated_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    lead_time: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Task(msgspec.Struct, frozen=True):
    data: Data
    annotations: list[Annotation] = []


def write(items: Iterable[Exported]) -> Iterator[bytes]:
    tasks = []
    for item in items:
        answers = {f"answer{number}": answer for number, answer in enumerate(item.answers, start=1)}
        named = {"item": item.token, "kind": item.kind, "criteria_version": item.criteria_version}
        tasks.append({"data": {"prompt": item.prompt, "answer2": "", **answers, **named}})
    yield msgspec.json.format(msgspec.json.encode(tasks)) + b"\n"


def read(content: bytes) -> Read:
    """Return each annotation; a task without one was not answered. Predictions are no answers."""
    try:
        tasks = msgspec.json.decode(content, type=list[msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"no list of Label Studio's tasks: {error}; export them as JSON, not JSON-MIN") from None
    found: list[Returned | Unread] = []
    for number, raw in enumerate(tasks, start=1):
        try:
            task = msgspec.json.decode(raw, type=Task)
        except msgspec.MsgspecError as error:
            found.append(Unread(f"task {number}", str(error)))
            continue
        for count, annotation in enumerate(task.annotations, start=1):
            found.append(_answer(f"task {number}, annotation {count}", task.data, annotation))
    return found


def _answer(place: str, data: Data, annotation: Annotation) -> Returned | Unread:
    by = annotation.completed_by
    who = by.email or by.id if isinstance(by, Person) else by
    if who is None:
        return Unread(place, "completed_by is missing: nobody knows whose answer it is")
    wanted, said = words_of(data.kind), {word for result in annotation.result for word in _words(result)}
    if not annotation.was_cancelled and (len(said) != 1 or said - wanted.keys()):
        told = " and ".join(ascii(word)[:60] for word in sorted(said)) or "nothing"
        return Unread(place, f"a {data.kind} says {told}; wanted one of {', '.join(wanted)}, left and right for two")
    verdict = None if annotation.was_cancelled else wanted[said.pop()]
    return Returned(
        place=place,
        token=data.item,
        annotator=f"label-studio/{who}",
        answer=Answer.SKIP if verdict is None else Answer.LABEL,
        value=None if verdict is None else verdict.value,
        dimensions={} if verdict is None else verdict.dimensions,
        at=None if annotation.updated_at is None else annotation.updated_at.astimezone(UTC),
        criteria_version=data.criteria_version,
        seconds=annotation.lead_time,
    )


def _words(result: dict[str, Any]) -> list[str]:
    """Return what one result of an annotation says: the side of a pair, or the choices."""
    value = result.get("value")
    if not isinstance(value, dict):
        return []
    if result.get("type") == "pairwise":
        side = value.get("selected")
        return [SIDES.get(side, side)] if isinstance(side, str) else []
    choices = value.get("choices")
    return [word for word in choices if isinstance(word, str)] if isinstance(choices, list) else []
