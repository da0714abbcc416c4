"""Preference pairs as the daemon hands them over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from monitor.domain.cohort import UNLABELLED
from monitor.domain.label import LabelSource
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.runs.artifact import HashedFile

_EVENT = "event"  # `labels.pairs.PairSource.EVENT`: its dimensions are numbers of the producer's own


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
    strength: float = 1.0  # how clearly the chosen answer was preferred, above 0: 1 by all, and wholly
    dimensions: Mapping[str, float] = field(default_factory=dict)  # of the chosen answer: 1 better, .5 alike, 0 worse


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
        strength=_strength(row, where),
        dimensions=_dimensions(row),
    )


def _strength(row: dict[str, Any], where: str) -> float:
    """Return how clearly people preferred the chosen answer; of a row that does not say, by how many agreed."""
    agreement = row.get("agreement", 1.0)
    strength = row.get("strength", 2 * agreement - 1 if isinstance(agreement, int | float) else None)
    if not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise InvalidInput(f"{where}: strength = {strength!r}, agreement = {agreement!r}; wanted numbers from 0 to 1")
    return float(strength)


def _dimensions(row: dict[str, Any]) -> dict[str, float]:
    """Return what is said of single dimensions; nothing of an event's, which have no scale of their own."""
    judged = row.get("judgements") or []
    found = row.get("dimensions") or {}
    if not isinstance(found, dict) or any(one[0] == _EVENT for one in judged):
        return {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float) and 0 <= value <= 1}
