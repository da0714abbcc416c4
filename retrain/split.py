"""Which pairs are held out: whole conversations with all that ask nearly the same, the same ones in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from monitor.errors import InvalidInput
from retrain.near_duplicate import COMMON_PROMPTS, COMMON_RATIO, near_duplicates, normalise
from retrain.preferences import PreferencePair

_HASH_BYTES = 8
_HASHES: int = 2 ** (8 * _HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Split:
    train: tuple[PreferencePair, ...]
    held_out: tuple[PreferencePair, ...]


def split_pairs(pairs: Sequence[PreferencePair], *, held_out_ratio: float, seed: int) -> Split:
    """Hold out about *held_out_ratio* of the pairs, without a leak between the sides.

    Pairs that share a conversation or nearly a prompt, directly or through other
    pairs, form one group, and a group stays together. Its side is a hash of its
    oldest pair's conversation (of its prompt where there is none), so pairs that
    arrive later join the side their group is on: a champion is not tested on what
    it was trained on. Only a pair that joins two groups can move one of them, the
    younger one.

    What only models judged is never held out: a candidate is measured against people.
    """
    groups = group_pairs(pairs)
    oldest: dict[int, PreferencePair] = {}
    for pair, group in zip(pairs, groups, strict=True):
        oldest[group] = min(oldest.get(group, pair), pair, key=lambda one: (one.timestamp, one.preference_id))
    sides: dict[int, bool] = {}
    for group, pair in oldest.items():
        hashed = blake2b(_keys(pair)[0], digest_size=_HASH_BYTES, key=seed.to_bytes(_HASH_BYTES, "little")).digest()
        sides[group] = int.from_bytes(hashed, "little") < held_out_ratio * _HASHES
    held_out = tuple(pair for pair, group in zip(pairs, groups, strict=True) if sides[group] and pair.by_people)
    train = tuple(pair for pair, group in zip(pairs, groups, strict=True) if not sides[group])
    if not train or not held_out:
        raise InvalidInput(
            f"{len(pairs)} pairs in {len(sides)} independent groups: {len(train)} to train on and"
            f" {len(held_out)} held out; wanted some of both"
        )
    return Split(train, held_out)


def drop_tied(pairs: Sequence[PreferencePair], to: Sequence[PreferencePair]) -> tuple[PreferencePair, ...]:
    """Return those of *pairs* that share no conversation and nearly no prompt with any of *to*."""
    groups = group_pairs([*to, *pairs])
    taken = set(groups[: len(to)])
    return tuple(pair for pair, group in zip(pairs, groups[len(to) :], strict=True) if group not in taken)


def _keys(pair: PreferencePair) -> tuple[bytes, ...]:
    """Return what ties a pair to others: its conversation first, where it has one, and its prompt."""
    keys = []
    if pair.conversation_id is not None:
        keys.append(_digest("conversation", pair.conversation_id))
    parts = [part for message in pair.messages for part in (message.role, normalise(message.content))]
    # a pair without a prompt shares it with nobody
    keys.append(_digest("prompt", *parts) if parts else _digest("pair", pair.preference_id))
    return tuple(keys)


def group_pairs(pairs: Sequence[PreferencePair]) -> list[int]:
    """Return each pair's group: the number of the first pair it is tied to."""
    parents = list(range(len(pairs)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    def tie(one: int, other: int) -> None:
        one, other = root(one), root(other)
        parents[max(one, other)] = min(one, other)

    first: dict[bytes, int] = {}
    for number, pair in enumerate(pairs):
        for key in _keys(pair):
            tie(first.setdefault(key, number), number)
    openings = [_opening(pair) for pair in pairs]
    shared = Counter(openings)
    for number, opening in enumerate(openings):
        if shared[opening] <= max(COMMON_PROMPTS, COMMON_RATIO * len(pairs)):
            tie(first.setdefault(opening, number), number)
    for one, other in near_duplicates([_asked(pair) for pair in pairs]):
        tie(one, other)
    return [root(number) for number in range(len(pairs))]


def _opening(pair: PreferencePair) -> bytes:
    """Return what two turns of one conversation share, though one source names the conversation and another does not.

    What very many open with is a template's, or a greeting.
    """
    asked = [number for number, message in enumerate(pair.messages) if message.role == "user"]
    opening = pair.messages[: asked[0] + 1] if asked else ()
    parts = [part for message in opening for part in (message.role, normalise(message.content))]
    return _digest("opening", *parts) if parts else _digest("pair", pair.preference_id)


def _asked(pair: PreferencePair) -> str:
    """Return what the user wrote: a system's message is the same for many, and answers are no questions."""
    return "\n".join(message.content for message in pair.messages if message.role == "user")


def _digest(*parts: str) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()
