"""Preference pairs as the daemon hands them over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monitor.domain.cohort import UNLABELLED
from monitor.domain.label import LabelSource
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.runs.artifact import HashedFile


@dataclass(frozen=True, slots=True)
class PreferencePair:
    preference_id: str
    conversation_id: str | None
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    cohort: str
    timestamp: datetime
    by_people: bool = True  # False: models judged it, and nobody else


@dataclass(frozen=True, slots=True)
class LoadedPairs:
    pairs: tuple[PreferencePair, ...]
    ties: int  # rows without a winner, which teach a pairwise loss nothing


def load_pairs(file: HashedFile) -> LoadedPairs:
    """Read the pairs, ties left out; raise `InvalidInput` naming the line that cannot be read."""
    pairs: dict[str, PreferencePair] = {}
    ties = 0
    for where, row in read_counted(file):
        pair = parse_answer(row, where)
        if pair.preference_id in pairs:
            raise InvalidInput(f"{where}: preference_id {pair.preference_id!r} is there twice")
        if row.get("tie") is True or pair.chosen == pair.rejected:
            ties += 1
            continue
        pairs[pair.preference_id] = pair
    return LoadedPairs(tuple(pairs.values()), ties)


def read_counted(file: HashedFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the file's rows as `read_rows` does; raise `InvalidInput` where there are not as many as it says."""
    rows = 0
    for found in read_rows(Path(file.path)):
        rows += 1
        yield found
    if rows != file.rows:
        raise InvalidInput(f"{file.path}: {rows} rows; the spec wants {file.rows}")


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's place, for messages, and its JSON object."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidInput(f"{where}: {error}; wanted a JSON object") from None
            if not isinstance(row, dict):
                raise InvalidInput(f"{where}: {type(row).__name__}; wanted a JSON object")
            yield where, row


def parse_messages(row: dict[str, Any], where: str) -> tuple[Message, ...]:
    found = row.get("messages")
    if not isinstance(found, list):
        raise InvalidInput(f"{where}: messages = {found!r}; wanted a list of role and content")
    messages = []
    for item in found:
        if not isinstance(item, dict):
            raise InvalidInput(f"{where}: messages holds {item!r}; wanted an object with role and content")
        messages.append(Message(parse_text(item, "role", where), parse_text(item, "content", where)))
    return tuple(messages)


def parse_text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: {name} = {value!r}; wanted text")
    return value


def parse_answer(
    row: dict[str, Any],
    where: str,
    *,
    key: str = "preference_id",
    chosen: str = "chosen",
    rejected: str | None = "rejected",
) -> PreferencePair:
    """Return a row with one answer, or two, as a pair: *key*, *chosen* and *rejected* name its fields."""
    optional = {name: row.get(name) for name in ("conversation_id", "cohort", "by")}
    for name, value in optional.items():
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{where}: {name} = {value!r}; wanted text or null")
    timestamp = parse_text(row, "timestamp", where)
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        raise InvalidInput(f"{where}: timestamp = {timestamp!r}; wanted ISO 8601") from None
    if moment.tzinfo is None:
        raise InvalidInput(f"{where}: timestamp = {timestamp!r}; wanted one with an offset from UTC")
    return PreferencePair(
        preference_id=parse_text(row, key, where),
        conversation_id=optional["conversation_id"],
        messages=parse_messages(row, where),
        chosen=parse_text(row, chosen, where),
        rejected=parse_text(row, rejected, where) if rejected is not None else "",
        cohort=optional["cohort"] or UNLABELLED,
        timestamp=moment,
        by_people=optional["by"] != LabelSource.AI,
    )
