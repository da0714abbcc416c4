"""What goes out to another tool for people to judge, and what comes back: blind there too."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from monitor.domain.label import FULL, PREFERENCE, REFUSAL
from monitor.domain.review import Answer
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.review.blind import found_number, hidden_number

AWAY = "export"  # who an exported item is shown to, as far as the order of its answers goes
FIRST, TIE, SECOND, YES, NO, PARTLY = "first", "tie", "second", "yes", "no", "partly"
MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Exported:
    """An item as it leaves."""

    token: str  # by which its answer is found again
    kind: str
    messages: tuple[Message, ...]
    answers: tuple[str, ...]  # two in the order in which they are to be shown, or one
    criteria_version: str

    @property
    def prompt(self) -> str:
        """The conversation as one text, for tools that show no other."""
        return "\n\n".join(f"{message.role}: {message.content}" for message in self.messages)


@dataclass(frozen=True, slots=True)
class Returned:
    """An answer that came back; its value and dimensions are of what stood first."""

    place: str  # in the file, for people
    token: str
    annotator: str
    answer: Answer
    value: float | None = None
    at: datetime | None = None  # UTC, aware; None where the tool does not tell
    criteria_version: str | None = None
    seconds: float | None = None
    note: str = ""
    dimensions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unread:
    """A piece of a file that is no answer."""

    place: str
    reason: str


class Taken(StrEnum):
    """What became of an answer that came back."""

    NEW = "new"
    KNOWN = "known"  # it came before, or a later one did
    REFUSED = "refused"  # it cannot be read, or belongs to no item


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of answers that came back."""

    outcomes: Mapping[Taken, int]
    refusals: tuple[str, ...]  # where each stood, and why


class ItemPlace(NamedTuple):
    """Where an item stands in what is exported; ascending as items are to be judged."""

    priority: float
    item_id: int


Read = Sequence[Returned | Unread]


@dataclass(frozen=True, slots=True)
class Said:
    """What a word says of what stands first."""

    value: float
    dimensions: Mapping[str, float] = field(default_factory=dict)


def words_of(kind: str) -> Mapping[str, Said]:
    """Return the words by which other tools tell a verdict of *kind*."""
    if kind == PREFERENCE:
        return {FIRST: Said(1.0), TIE: Said(0.5), SECOND: Said(0.0)}
    if kind == REFUSAL:
        return {YES: Said(1.0, {FULL: 1.0}), PARTLY: Said(1.0, {FULL: 0.0}), NO: Said(0.0)}
    return {YES: Said(1.0), NO: Said(0.0)}


def token_of(item_id: int, key: bytes) -> str:
    """Return what names an item in a file; nobody can make another one who does not know *key*."""
    number = hidden_number(item_id, key)
    return f"{number}-{_seal(number, key)}"


def item_of(token: str, key: bytes) -> int:
    """Return the item that *token* names; raises `InvalidInput` for one that was not made with *key*."""
    number, _, seal = token.partition("-")
    is_number = number.isascii() and number.isdecimal() and len(number) <= 18
    item_id = found_number(int(number), key) if is_number else None
    if item_id is None:
        raise InvalidInput(f"{token[:60]!r} names no item: import a file that `review export` has written")
    if not hmac.compare_digest(seal.encode("utf-8", "replace"), _seal(int(number), key).encode()):
        raise InvalidInput(f"{token[:60]!r} was exported with another review.key, so nobody knows what stood first")
    return item_id


def _seal(number: int, key: bytes) -> str:
    return blake2b(f"export\0{number}".encode(), key=key, digest_size=8).hexdigest()
