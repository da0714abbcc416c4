"""The queue between annotators and its store: items under other numbers, notes without what may not be stored.

Numbers as annotators see them tell neither an item's age nor its kind, as those of gold and alarms would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Protocol

from monitor.domain.review import AnswerGiven, Hand, Progress, ShownItem, TakenBack
from monitor.errors import NotFound

HALF_BITS = 20  # a number of 40 bits is a whole number in a browser too
ROUNDS = 6
_HALF = (1 << HALF_BITS) - 1


class Reviews(Protocol):
    """The queue under its own numbers; `web.routes.review.Reviews` tells what each method does."""

    def next_items(self, annotator: str, *, limit: int) -> Hand: ...

    def answer(self, annotator: str, given: AnswerGiven) -> Progress: ...

    def undo(self, annotator: str, item_id: int | None = None) -> TakenBack: ...


@dataclass(frozen=True, slots=True)
class BlindReviews:
    """The queue with every item under another number."""

    reviews: Reviews
    key: bytes
    redact: Callable[[str], str]  # notes; raises `InvalidInput` for one that may not be stored

    def next_items(self, annotator: str, *, limit: int) -> Hand:
        hand = self.reviews.next_items(annotator, limit=limit)
        return replace(hand, items=tuple(map(self._hidden, hand.items)))

    def answer(self, annotator: str, given: AnswerGiven) -> Progress:
        own = replace(given, item_id=self._found(given.item_id), note=self.redact(given.note))
        return self.reviews.answer(annotator, own)

    def undo(self, annotator: str, item_id: int | None = None) -> TakenBack:
        back = self.reviews.undo(annotator, None if item_id is None else self._found(item_id))
        return replace(back, item=self._hidden(back.item))

    def _hidden(self, item: ShownItem) -> ShownItem:
        return replace(item, item_id=hidden_number(item.item_id, self.key))

    def _found(self, number: int) -> int:
        found = found_number(number, self.key)
        if found is None:
            raise NotFound("there is no such item")
        return found


def hidden_number(item_id: int, key: bytes) -> int:
    """Return the number of an item as it is shown: a Feistel network, so every item has one of its own."""
    left, right = item_id >> HALF_BITS, item_id & _HALF
    for turn in range(ROUNDS):
        left, right = right, left ^ _mix(turn, right, key)
    return (left << HALF_BITS | right) + 1


def found_number(number: int, key: bytes) -> int | None:
    """Return the item whose shown number is *number*; None for a number that is out of range."""
    if not 0 < number <= 1 << 2 * HALF_BITS:
        return None
    left, right = number - 1 >> HALF_BITS, number - 1 & _HALF
    for turn in reversed(range(ROUNDS)):
        left, right = right ^ _mix(turn, left, key), left
    return left << HALF_BITS | right


def _mix(turn: int, half: int, key: bytes) -> int:
    digest = blake2b(f"number\0{turn}\0{half}".encode(), key=key, digest_size=4).digest()
    return int.from_bytes(digest) & _HALF
