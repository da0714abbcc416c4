"""What the queue decides: how an item is shown, when gold comes, what an answer says, and what becomes of an item."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import blake2b

from monitor.domain.label import PREFERENCE
from monitor.domain.review import Answer, AnswerGiven, ItemState, draw
from monitor.errors import InvalidInput

MAX_SKIPS = 3  # annotators who cannot say; nobody else is asked
FLAGGED, SKIPPED, TEXT_GONE, TOO_LATE = "flagged", "skipped", "text_gone", "too_late"  # why an item has no verdict


@dataclass(frozen=True, slots=True)
class QueueRules:
    key: bytes = b""
    gold_ratio: float = 0.0
    claim_seconds: float = 600.0
    daily_budget: int = 0

    def policy_first(self, item_id: int, annotator: str, kind: str) -> bool | None:
        """Say whether the policy's answer stands first for *annotator*; None where there is but one answer."""
        return draw(self.key, "position", str(item_id), annotator) < 0.5 if kind == PREFERENCE else None

    def is_gold_turn(self, annotator: str, turn: int) -> bool:
        """Say whether *annotator* gets a gold item as number *turn* of all they ever got."""
        return draw(self.key, "gold", annotator, str(turn)) < self.gold_ratio


def answer_of(given: AnswerGiven, policy_first: bool | None) -> AnswerGiven:
    """Return *given* with its value and its dimensions turned from what stood first to the policy's answer.

    An answer that is no label has no value.
    """
    if given.answer is not Answer.LABEL:
        return replace(given, value=None, dimensions={})
    if given.value is None:
        raise InvalidInput("a label wants a value from 0 to 1")
    turned = {name: _of_policy(value, policy_first) for name, value in given.dimensions.items()}
    return replace(given, value=_of_policy(given.value, policy_first), dimensions=turned)


def _of_policy(value: float, policy_first: bool | None) -> float:
    return 1.0 - value if policy_first is False else value


def label_id_of(item_id: int, annotator: str, number: int) -> str:
    """Return the id of the label that *annotator* gives with answer *number* to an item: 0, 1, ..."""
    who = blake2b(annotator.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"review-{item_id}-{who}-{number}"


def outcome_of(wanted: int, answers: Collection[Answer]) -> tuple[ItemState, str | None]:
    """Return the state of an item that *wanted* labels, and why it is missing where it is.

    *answers* are those that stand, one an annotator.
    """
    labels = sum(answer is Answer.LABEL for answer in answers)
    if Answer.FLAG in answers:
        return ItemState.MISSING, FLAGGED
    if labels >= wanted:
        return ItemState.DONE, None
    if len(answers) - labels >= MAX_SKIPS:
        return (ItemState.DONE, None) if labels else (ItemState.MISSING, SKIPPED)
    return ItemState.OPEN, None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An item that was answered, and not by as many as it wants, and nobody has answered it since long."""

    annotators: frozenset[str]
    labelled: bool


def give_up(item: Unfinished, active: Collection[str]) -> tuple[ItemState, str | None] | None:
    """Return what becomes of an item that all *active* annotators have answered; None while one of them has not."""
    if not item.annotators.issuperset(active):
        return None
    return (ItemState.DONE, None) if item.labelled else (ItemState.MISSING, SKIPPED)
