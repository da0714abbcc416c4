"""What people say of the same two answers, made one pair."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import permutations
from typing import Any

import pytest

from monitor.domain.label import LabelSource
from monitor.labels.pairs import Dropped, Judgement, PairRules, PairSet, PairSource, decide_pairs

START = datetime(2026, 11, 1, tzinfo=UTC)
RULES = PairRules()


def content(prompt: str = "question", first: str = "ours", second: str = "theirs") -> bytes:
    return b"".join(sha256(text.encode()).digest()[:16] for text in (prompt, first, second))


def said(number: int, value: float = 1.0, **changes: object) -> Judgement:
    """The *number*-th judgement, each by another annotator, a minute after the one before."""
    usual = Judgement(
        source=PairSource.LABEL,
        judgement_id=f"l-{number}",
        digest=b"",
        subject="t-1",
        content=content(),
        value=value,
        timestamp=START + timedelta(minutes=number),
        cohort="a",
        annotator_id=f"annotator {number}",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def event(number: int, **changes: Any) -> Judgement:
    return said(number, source=PairSource.EVENT, judgement_id=f"p-{number}", subject=f"p-{number}", **changes)


def winners(found: PairSet) -> list[bytes]:
    return [pair.content for pair in found.pairs]


def test_a_label_for_the_reference_makes_it_the_chosen_answer() -> None:
    found = decide_pairs([said(1, 0.0)], RULES)

    assert winners(found) == [content(first="theirs", second="ours")]


def test_several_annotators_of_one_trace_make_one_pair_by_their_majority() -> None:
    found = decide_pairs([said(1), said(2), said(3, 0.0)], RULES)

    (pair,) = found.pairs
    assert (pair.content, len(pair.judgements)) == (content(), 3)
    assert pair.agreement == pytest.approx(2 / 3)
    assert found.raw_agreement == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param([0.5], Dropped.TIE, id="a tie"),
        pytest.param([1.0, 0.0], Dropped.TIE, id="one each"),
        pytest.param([1.0, 0.5], Dropped.LOW_AGREEMENT, id="one of two is undecided"),
        pytest.param([1.0, 1.0, 1.0, 0.0, 0.0], Dropped.LOW_AGREEMENT, id="three of five"),
    ],
)
def test_what_annotators_do_not_agree_on_makes_no_pair_and_is_counted(values: list[float], reason: Dropped) -> None:
    found = decide_pairs([said(number, value) for number, value in enumerate(values)], RULES)

    assert (found.pairs, found.dropped) == ((), {reason: 1})


def test_the_same_answers_from_two_sources_are_one_pair_whichever_was_named_first() -> None:
    other_way = event(2, content=content(first="theirs", second="ours"), value=0.0)

    found = decide_pairs([said(1), other_way], RULES)

    (pair,) = found.pairs
    assert (pair.content, pair.agreement, found.merged) == (content(), 1.0, 1)
    assert {one.source for one in pair.judgements} == {PairSource.LABEL, PairSource.EVENT}


def test_an_annotators_latest_verdict_counts_in_whatever_order_it_comes() -> None:
    judgements = [said(1, annotator_id="ada"), said(2, 0.0, annotator_id="ada"), said(3, 0.0, annotator_id="bo")]

    found = [decide_pairs(order, RULES) for order in permutations(judgements)]

    assert all(one == found[0] for one in found)
    assert winners(found[0]) == [content(first="theirs", second="ours")]
    assert found[0].corrected == 1


def test_a_correction_leaves_the_pair_its_time_so_that_it_keeps_its_side_of_the_split() -> None:
    judgements = [said(1, annotator_id="ada"), said(2, 0.0, annotator_id="ada")]

    (pair,) = decide_pairs(judgements, RULES).pairs

    assert pair.oldest.timestamp == judgements[0].timestamp


def test_newer_criteria_ask_another_question_so_older_verdicts_do_not_count() -> None:
    older = [said(number, criteria_version="1") for number in range(3)]

    (pair,) = decide_pairs([*older, said(9, 0.0, criteria_version="2")], RULES).pairs

    assert (pair.criteria_version, len(pair.judgements)) == ("2", 1)
    assert pair.content == content(first="theirs", second="ours")


def test_two_labels_without_a_name_are_two_annotators() -> None:
    (pair,) = decide_pairs([said(1, annotator_id=None), said(2, annotator_id=None)], RULES).pairs

    assert len(pair.judgements) == 2


def test_equal_answers_teach_nothing() -> None:
    assert decide_pairs([said(1, content=content(second="ours"))], RULES).dropped == {Dropped.SAME_ANSWERS: 1}


def test_what_models_judged_is_left_out_unless_it_is_asked_for() -> None:
    judgements = [said(1), said(2, content=content("another"), by=LabelSource.AI)]

    found = decide_pairs(judgements, RULES)

    assert [pair.by for pair in found.pairs] == [LabelSource.HUMAN]
    assert found.dropped == {Dropped.AI: 1}


@pytest.mark.parametrize(("ratio", "models"), [(0.2, 5), (0.5, 20), (0.0, 0)])
def test_pairs_by_models_are_at_most_the_wanted_share_of_the_set(ratio: float, models: int) -> None:
    people = [said(number, content=content(f"p {number}")) for number in range(20)]
    by_models = [said(number, content=content(f"m {number}"), by=LabelSource.AI) for number in range(100)]

    found = decide_pairs([*people, *by_models], PairRules(ai_ratio=ratio))

    assert sum(pair.by is LabelSource.AI for pair in found.pairs) == models
    assert sum(pair.by is LabelSource.HUMAN for pair in found.pairs) == 20


def test_a_person_outranks_any_number_of_models() -> None:
    judgements = [said(1), *(said(number, 0.0, by=LabelSource.AI) for number in range(2, 6))]

    (pair,) = decide_pairs(judgements, RULES).pairs

    assert (pair.by, pair.content) == (LabelSource.HUMAN, content())


@pytest.mark.parametrize(
    ("values", "strength"),
    [
        pytest.param([1.0, 1.0], 1.0, id="all of them, and wholly"),
        pytest.param([1.0, 1.0, 0.0], 1 / 3, id="two of three"),
        pytest.param([0.75], 0.5, id="one, and only rather"),
        pytest.param([0.2], 0.6, id="one, for the other answer"),
        pytest.param([0.6, 0.6, 0.0], 0.0, id="two hardly, and a third one wholly the other way"),
    ],
)
def test_a_pair_is_as_strong_as_its_verdicts_are_clear(values: list[float], strength: float) -> None:
    (pair,) = decide_pairs([said(number, value) for number, value in enumerate(values)], RULES).pairs

    assert pair.strength == pytest.approx(strength)


def test_dimensions_are_told_of_the_chosen_answer() -> None:
    ours = said(1, dimensions={"helpful": 0.9, "polite": 0.5})
    theirs = said(2, 0.0, content=content("another"), dimensions={"helpful": 0.2})

    told = [pair.dimensions() for pair in decide_pairs([ours, theirs], RULES).pairs]

    assert told == [{"helpful": 0.9, "polite": 0.5}, {"helpful": pytest.approx(0.8)}]
