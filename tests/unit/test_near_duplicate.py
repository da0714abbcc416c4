"""Prompts that say nearly the same are found, and a template is no sameness."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from monitor.domain.trace import Message
from retrain.near_duplicate import near_duplicates
from retrain.preferences import PreferencePair
from retrain.split import split_pairs

WORDS = [f"word{number}" for number in range(2_000)]
START = datetime(2026, 1, 1, tzinfo=UTC)


def prompt(generator: random.Random, words: int = 30) -> list[str]:
    return generator.choices(WORDS, k=words)


def edited(generator: random.Random, words: list[str]) -> str:
    """Change one word, the case, and the marks between."""
    changed = list(words)
    changed[generator.randrange(len(words))] = "another"
    return ", ".join(changed).upper() + "!"


def pair(number: int, text: str, **changes: object) -> PreferencePair:
    return PreferencePair(
        preference_id=f"p-{number}",
        conversation_id=f"c-{number}",
        messages=(Message("system", "You are kind."), Message("user", text)),
        chosen="yes",
        rejected="no",
        cohort="none",
        timestamp=START + timedelta(minutes=number),
        **changes,  # type: ignore[arg-type]
    )


def test_a_prompt_with_a_word_changed_is_found_and_another_one_is_not() -> None:
    generator = random.Random(1)
    originals = [prompt(generator) for _ in range(200)]
    copies = [edited(generator, words) for words in originals]

    found = set(near_duplicates([*map(" ".join, originals), *copies]))

    expected = {(number, 200 + number) for number in range(200)}
    assert len(found & expected) >= 0.95 * 200
    assert found <= expected


def test_questions_in_one_template_are_not_the_same() -> None:
    generator = random.Random(2)
    template = "You are an assistant of the shop. Answer in one short paragraph, and be polite to the customer: {}"

    prompts = [template.format(" ".join(prompt(generator, 6))) for _ in range(300)]

    assert not list(near_duplicates(prompts))


def test_scripts_without_spaces_are_compared_by_character() -> None:
    asked = "请问怎样才能取消我上个月购买的年度订阅并且拿回全部的款项而不损失任何数据"

    assert list(near_duplicates([asked, asked.replace("年度", "全年"), "今天的天气怎么样我想出去走走"])) == [(0, 1)]


def test_short_prompts_and_none_are_held_against_nothing() -> None:
    assert not list(near_duplicates(["hi", "Hi!", "", "capital of France"]))
    assert not list(near_duplicates([]))


def test_no_near_duplicate_of_a_training_prompt_is_held_out() -> None:
    generator = random.Random(3)
    chains = []
    for _ in range(100):
        words = prompt(generator)
        chains.append([" ".join(words), edited(generator, words), edited(generator, words), " ".join(words).title()])
    pairs = [pair(number, text) for number, text in enumerate(text for chain in chains for text in chain)]

    split = split_pairs(pairs, held_out_ratio=0.125, seed=0)

    held_out = {one.preference_id for one in split.held_out}
    sides = [one.preference_id in held_out for one in pairs]
    torn = sum(one != other for start in range(0, 400, 4) for one, other in pairwise(sides[start : start + 4]))
    assert torn == 0
    assert 0.05 < len(held_out) / 400 < 0.2


def test_a_pair_that_only_models_judged_is_never_held_out_and_leaks_no_held_out_prompt() -> None:
    pairs = [pair(number, f"question {number}") for number in range(400)]
    doubted = [pair(1_000 + number, f"question {number}", by_people=False) for number in range(400)]

    split = split_pairs([*pairs, *doubted], held_out_ratio=0.125, seed=0)

    assert all(one.by_people for one in split.held_out)
    assert not {one.messages for one in split.held_out} & {one.messages for one in split.train}
    assert any(not one.by_people for one in split.train)
