from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from retrain.preferences import PreferencePair
from retrain.split import split_pairs

START = datetime(2026, 1, 1, tzinfo=UTC)


def pair(number: int, *, conversation: str | None = None, prompt: str | None = None) -> PreferencePair:
    return PreferencePair(
        preference_id=f"p-{number}",
        conversation_id=conversation,
        messages=(Message("user", prompt or f"question {number}"),),
        chosen="yes",
        rejected="no",
        cohort="none",
        timestamp=START + timedelta(minutes=number),
    )


def tangled(count: int) -> Iterator[PreferencePair]:
    """Yield pairs of which many share a conversation and some a prompt across conversations."""
    for number in range(count):
        shared = f"often asked {number % 40}" if number % 5 == 0 else None
        yield pair(number, conversation=f"c-{number // 3}" if number % 2 else None, prompt=shared)


def test_no_conversation_and_no_prompt_is_on_both_sides() -> None:
    split = split_pairs(list(tangled(600)), held_out_ratio=0.125, seed=0)

    def ties(pairs: tuple[PreferencePair, ...]) -> set[object]:
        return {one.messages for one in pairs} | {one.conversation_id for one in pairs if one.conversation_id}

    assert len(split.train) + len(split.held_out) == 600
    assert not ties(split.train) & ties(split.held_out)


def turn(number: int, *asked: str) -> PreferencePair:
    """A later turn of a conversation that its source names in a way of its own."""
    messages = [Message(role, text) for text in asked for role in ("user", "assistant")][:-1]
    return replace(pair(number, conversation=f"c-{number}"), messages=tuple(messages))


def test_two_turns_of_one_conversation_are_on_one_side_though_two_sources_name_it_differently() -> None:
    first = [turn(number, f"open {number}") for number in range(200)]
    later = [turn(200 + number, f"open {number}", f"and then {number}?") for number in range(200)]

    split = split_pairs([*first, *later], held_out_ratio=0.125, seed=0)

    def openings(pairs: tuple[PreferencePair, ...]) -> set[Message]:
        return {one.messages[0] for one in pairs}

    assert not openings(split.train) & openings(split.held_out)


def test_conversations_that_all_open_alike_are_not_one() -> None:
    pairs = [turn(number, "hello", f"question {number}") for number in range(400)]

    split = split_pairs(pairs, held_out_ratio=0.125, seed=0)

    assert 0.05 < len(split.held_out) / 400 < 0.2


def test_about_the_wanted_share_is_held_out() -> None:
    split = split_pairs([pair(number) for number in range(4_000)], held_out_ratio=0.125, seed=0)

    assert 0.10 < len(split.held_out) / 4_000 < 0.15


def test_a_pair_keeps_its_side_when_more_pairs_arrive() -> None:
    early = [pair(number, conversation=f"c-{number % 150}") for number in range(300)]
    late = [pair(number, conversation=f"c-{number % 200}") for number in range(300, 600)]

    before = split_pairs(early, held_out_ratio=0.125, seed=0)
    after = split_pairs(early + late, held_out_ratio=0.125, seed=0)

    for side in ("held_out", "train"):
        earlier, later = ({found.preference_id for found in getattr(split, side)} for split in (before, after))
        assert earlier <= later


def test_another_seed_holds_out_other_pairs() -> None:
    pairs = [pair(number) for number in range(200)]

    first, second = (split_pairs(pairs, held_out_ratio=0.125, seed=seed) for seed in (0, 1))

    assert first.held_out != second.held_out


def test_one_conversation_alone_cannot_be_split() -> None:
    with pytest.raises(InvalidInput, match="3 pairs in 1 independent groups"):
        split_pairs([pair(number, conversation="c") for number in range(3)], held_out_ratio=0.125, seed=0)
