"""Argilla: records as its `records.to_json` and `Dataset.from_disk` have them, with one question, `verdict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from monitor.domain.label import PREFERENCE
from monitor.domain.review import Answer
from monitor.errors import InvalidInput
from monitor.review.exchange import Exported, Read, Returned, Unread, words_of

QUESTION = "verdict"
DRAFT, DISCARDED = "draft", "discarded"  # not yet said, and not to be said


class Metadata(msgspec.Struct, frozen=True):
    kind: str = PREFERENCE
    criteria_version: str | None = None


class Response(msgspec.Struct, frozen=True):
    value: str | int | float | list[Any] | dict[str, Any] | None
    user_id: str
    status: str | None = None


class Record(msgspec.Struct, frozen=True):
    id: str
    metadata: Metadata = Metadata()
    responses: dict[str, list[Response]] = {}


def write(items: Iterable[Exported]) -> Iterator[bytes]:
    records = []
    for item in items:
        answers = {f"answer{number}": answer for number, answer in enumerate(item.answers, start=1)}
        records.append(
            {
                "id": item.token,
                "fields": {"prompt": item.prompt, "answer2": "", **answers},
                "metadata": {"kind": item.kind, "criteria_version": item.criteria_version},
                "suggestions": {},
                "responses": {},
                "vectors": {},
            }
        )
    yield msgspec.json.format(msgspec.json.encode(records)) + b"\n"


def read(content: bytes) -> Read:
    """Return each user's response to the question `verdict`; suggestions are no answers."""
    try:
        records = msgspec.json.decode(content, type=list[msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"no list of Argilla's records: {error}; write them with records.to_json") from None
    found: list[Returned | Unread] = []
    for number, raw in enumerate(records, start=1):
        try:
            record = msgspec.json.decode(raw, type=Record)
        except msgspec.MsgspecError as error:
            found.append(Unread(f"record {number}", str(error)))
            continue
        for count, response in enumerate(record.responses.get(QUESTION, []), start=1):
            if response.status != DRAFT:
                found.append(_answer(f"record {number}, response {count}", record, response))
    return found


def _answer(place: str, record: Record, response: Response) -> Returned | Unread:
    words, is_discarded = words_of(record.metadata.kind), response.status == DISCARDED
    word = response.value if isinstance(response.value, str) else ""
    if not is_discarded and word not in words:
        told = ascii(response.value)[:60]
        return Unread(place, f"{QUESTION} of a {record.metadata.kind} is {told}; wanted one of {', '.join(words)}")
    said = None if is_discarded else words[word]
    return Returned(
        place=place,
        token=record.id,
        annotator=f"argilla/{response.user_id}",
        answer=Answer.SKIP if said is None else Answer.LABEL,
        value=None if said is None else said.value,
        criteria_version=record.metadata.criteria_version,
        dimensions={} if said is None else said.dimensions,
    )
