"""Answers with a thumb, as the daemon hands them over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.errors import InvalidInput
from monitor.runs.artifact import HashedFile
from retrain.preferences import PreferencePair, parse_answer, read_counted
from retrain.split import split_pairs


@dataclass(frozen=True, slots=True)
class Thumb:
    answer: PreferencePair  # the answer is `chosen`, whatever was said of it; `rejected` is empty
    desirable: bool


@dataclass(frozen=True, slots=True)
class ThumbSplit:
    train: tuple[Thumb, ...]
    held_out: tuple[Thumb, ...]


def load_thumbs(file: HashedFile) -> tuple[Thumb, ...]:
    """Read the answers with a thumb; raise `InvalidInput` naming the line that cannot be read."""
    found: dict[str, Thumb] = {}
    for where, row in read_counted(file):
        desirable = row.get("desirable")
        if not isinstance(desirable, bool):
            raise InvalidInput(f"{where}: desirable = {desirable!r}; wanted true or false")
        answer = parse_answer(row, where, key="feedback_id", chosen="response", rejected=None)
        if answer.preference_id in found:
            raise InvalidInput(f"{where}: feedback_id {answer.preference_id!r} is there twice")
        found[answer.preference_id] = Thumb(answer, desirable)
    return tuple(found.values())


def split_thumbs(thumbs: Sequence[Thumb], *, held_out_ratio: float, seed: int) -> ThumbSplit:
    """Hold some out as pairs are held out, without a leak; raise `InvalidInput` where a side lacks a kind of thumb."""
    said = {thumb.answer.preference_id: thumb for thumb in thumbs}
    split = split_pairs([thumb.answer for thumb in thumbs], held_out_ratio=held_out_ratio, seed=seed)
    train, held_out = (tuple(said[one.preference_id] for one in side) for side in (split.train, split.held_out))
    up = sum(thumb.desirable for thumb in held_out)
    if up in {0, len(held_out)}:
        raise InvalidInput(f"{up} thumbs up and {len(held_out) - up} down held out; wanted some of both")
    return ThumbSplit(train, held_out)


def balance_weights(desirable: Sequence[bool]) -> tuple[float, float]:
    """Return what a desirable answer weighs and what another: both kinds weigh alike in all, the rarer 1 each.

    Raises `InvalidInput` where there is but one kind.

    >>> balance_weights([True, True, True, False])
    (0.3333333333333333, 1.0)
    """
    up = sum(desirable)
    down = len(desirable) - up
    rarer = min(up, down)
    if not rarer:
        raise InvalidInput(f"{up} thumbs up and {down} down to train on; wanted some of both")
    return rarer / up, rarer / down
