"""Comparisons are a function of the evidence: what counts, what is left out, and what is told where nothing is."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.domain.trace import Message
from monitor.runs.evidence import LOOP, REPLAY, AnsweredPrompt, ReadAnswer
from monitor.runs.policy import MEASURES, Comparison
from monitor.stats.comparison import Judged
from retrain.policy_measures import compare_all, win_of_margins

ASKED = (Message("user", "how do I change my card?"),)
NOBODY = Judged(*(np.zeros(0),) * 4, clusters=())


def row(number: int, **changes: Any) -> AnsweredPrompt:
    plain = AnsweredPrompt(
        index=number,
        item_id=f"t-{number}",
        suite=REPLAY,
        kind=REPLAY,
        cohort="none",
        cluster=f"c-{number}",
        messages=ASKED,
        candidate="open the settings",
        champion="open the settings",
        candidate_tokens=10,
        champion_tokens=10,
        win=0.5,
        margins=(0.0, 0.0),
        candidate_outcome=0.0,
        champion_outcome=0.0,
    )
    return msgspec.structs.replace(plain, **changes)


def twin(number: int, side: int, candidate: float | None, champion: float | None) -> AnsweredPrompt:
    return row(
        number,
        suite="sycophancy",
        kind="sycophancy",
        item_id=f"s-{number}-{side}",
        cluster=f"twin-{number}",
        win=None,
        margins=(),
        candidate_outcome=candidate,
        champion_outcome=champion,
    )


def compared(rows: list[AnsweredPrompt], judged: Judged = NOBODY) -> dict[str, Comparison]:
    read = [
        ReadAnswer(
            index=number, item_id="t", cohort="none", cluster=f"c-{number}", messages=ASKED, response="yes",
            tokens=3, candidate=1.5 + 0.1 * (number % 2), champion=1.0,
        )
        for number in range(20)
    ]  # fmt: skip
    return {found.name: found for found in compare_all(rows, read, judged, temperature=1.0) if found.cohort is None}


@pytest.mark.parametrize(
    ("margins", "beta", "won"),
    [
        ((1.0, 3.0), 1.0, 1.0),
        ((1.0, 3.0), 2.5, 0.5),
        ((-1.0, -3.0), 1.0, 0.0),
        ((0.0, 0.0), 1.0, 0.5),
        ((0.1,), 5.0, 1.0),
    ],
)
def test_only_what_the_lower_bound_is_sure_of_wins(margins: tuple[float, ...], beta: float, won: float) -> None:
    assert win_of_margins(margins, beta) == won


def test_every_measure_is_reported_and_one_without_items_says_why() -> None:
    found = compared([row(number) for number in range(40)])
    assert set(found) == set(MEASURES)
    assert found["capability"].items == 0
    assert found["capability"].detail == "nothing to measure it on"
    assert "0 labels; 30 are wanted" in found["win_rate_human"].detail
    assert found["perplexity"].difference == pytest.approx(0.55)


def test_what_one_side_did_not_answer_is_left_out_for_both_and_told() -> None:
    gone = row(
        40, champion=None, champion_tokens=None, win=None, margins=(), left_out="the champion has no answer: 500"
    )
    found = compared([*(row(number) for number in range(40)), gone])
    assert found["length"].items == found["win_rate"].items == 40
    assert "1 left out: the champion has no answer: 500" in found["refusal"].detail


def test_an_empty_answer_has_a_length() -> None:
    rows = [row(number, candidate="", candidate_tokens=0, candidate_flags=("empty",)) for number in range(40)]
    found = compared(rows)
    assert found["length"].candidate == 0.0
    assert found["length"].difference == pytest.approx(-np.log(11))
    assert found["format"].candidate == 1.0
    assert found["format"].detail == "candidate: 40 empty; champion: none"


def test_sycophancy_is_how_much_more_often_an_answer_is_given_to_those_who_favour_it() -> None:
    """The champion always says (A): it follows one asker of each twin. The candidate follows both in half the twins."""
    rows = [
        twin(number, side, 1.0 if number % 2 else float(side == 0), float(side == 0))
        for number in range(40)
        for side in (0, 1)
    ]
    found = compared([*rows, twin(40, 0, 1.0, 1.0), twin(40, 1, None, 0.0)])["sycophancy"]
    assert (found.champion, found.candidate, found.items) == (0.0, 0.5, 80)
    assert found.lower > 0.2
    assert "2 left out" in found.detail


def test_cohorts_are_told_apart_where_there_are_some() -> None:
    rows = [
        row(number, cohort="product=a" if number % 2 else "product=b", candidate_flags=(LOOP,) if number % 2 else ())
        for number in range(80)
    ]
    found = {item.cohort: item for item in compare_all(rows, [], NOBODY, temperature=1.0) if item.name == "repetition"}
    assert [found[cohort].candidate for cohort in (None, "product=a", "product=b")] == [0.5, 1.0, 0.0]
    assert found["product=b"].lower <= 0.0 < found["product=a"].lower


def test_people_turn_the_ensembles_opinion_round_where_they_contradict_it() -> None:
    generator = np.random.default_rng(5)
    opinions = generator.uniform(0.1, 0.9, size=200)
    verdicts = (generator.random(200) < 1.0 - opinions).astype(np.float64)
    judged = Judged(opinions, np.zeros(200), verdicts, np.full(200, 0.2), [f"c-{n}" for n in range(200)])
    rows = [row(number, margins=(1.0, 1.5), win=1.0) for number in range(60)]
    found = compared(rows, judged)
    assert found["win_rate"].lower > 0.3
    assert found["win_rate_human"].upper < 0.0
    assert found["win_rate_human"].detail.startswith("200 labels of production's answers: people share -")
