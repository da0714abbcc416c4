"""What is told of annotators: with whom they agree, on what, and what sways them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random

import pytest

from monitor.labels.agreement import AgreementLine, AgreementReport, By, Checked, Rating, report_agreement

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def rating(item: int, annotator: str, value: float = 1.0, *, days: float = 1.0, **changes: object) -> Rating:
    usual = {"kind": "preference", "order": f"{item} {annotator}", "criteria_version": "1"}
    given = {"item": f"t-{item}", "annotator_id": annotator, "value": value, "timestamp": NOW - timedelta(days=days)}
    return Rating(**(given | usual | changes))  # type: ignore[arg-type]


def told(ratings: list[Rating], checked: list[Checked] | None = None, **changes: object) -> AgreementReport:
    return report_agreement(ratings, checked or [], **({"criteria_version": None, "now": NOW} | changes))  # type: ignore[arg-type]


def line(report: AgreementReport, by: By, name: str = "", kind: str = "preference") -> AgreementLine:
    (found,) = [one for one in report.lines if (one.kind, one.by, one.name) == (kind, by, name)]
    return found


def coins(seed: int, items: int, annotators: str, **changes: object) -> list[Rating]:
    """Judgements that agree by chance alone."""
    draw = Random(seed)
    return [rating(item, who, float(draw.random() < 0.5), **changes) for item, who in product(range(items), annotators)]  # type: ignore[arg-type]


def test_chance_is_no_agreement_and_sameness_is_full_agreement() -> None:
    same = [rating(item, who, float(item % 2)) for item, who in product(range(100), "ab")]
    guessed = coins(1, 400, "ab", criteria_version="0", days=9.0)

    report = told([*same, *guessed])

    agreed, by_chance = line(report, By.CRITERIA, "1"), line(report, By.CRITERIA, "0")
    assert agreed.raw is not None
    assert agreed.kappa is not None
    assert (agreed.raw.value, agreed.kappa.value, agreed.raw.items) == (1.0, 1.0, 100)
    assert by_chance.kappa is not None
    assert by_chance.alpha is not None
    assert by_chance.kappa.value == pytest.approx(0.0, abs=0.12)
    assert by_chance.alpha.value == pytest.approx(0.0, abs=0.12)


def test_what_holds_training_is_what_the_newest_criteria_came_to() -> None:
    older = coins(1, 60, "ab", criteria_version="1", days=9.0)
    newer = [rating(item, who, float(item % 2), criteria_version="2") for item, who in product(range(60), "ab")]

    report, stated = told([*older, *newer]), told([*older, *newer], criteria_version="1")

    assert report.criteria_version == "2"
    assert report.current is not None
    assert report.current.kappa is not None
    assert report.current.kappa.value == 1.0
    assert stated.current == line(stated, By.CRITERIA, "1")


def test_the_same_item_under_other_criteria_is_another_question() -> None:
    report = told([rating(1, "a"), rating(1, "b", 0.0, criteria_version="2")])

    assert line(report, By.ALL).raw is None


def test_a_corrected_judgement_does_not_count() -> None:
    report = told([rating(1, "a", 0.0, days=3.0), rating(1, "a", 1.0), rating(1, "b", 1.0)])

    whole = line(report, By.ALL)
    assert whole.raw is not None
    assert (whole.ratings, whole.raw.value) == (2, 1.0)


def test_an_annotator_is_held_against_each_of_the_others_and_they_not_against_each_other() -> None:
    ratings = [rating(item, who, float(item % 2)) for item, who in product(range(60), "ab")]
    ratings += [rating(item, "c", float(item % 2 == 0)) for item in range(60)]

    report = told(ratings)

    found = {who: line(report, By.ANNOTATOR, who).raw for who in "abc"}
    assert {who: one and one.value for who, one in found.items()} == {"a": 0.5, "b": 0.5, "c": 0.0}


def test_dimensions_and_weeks_are_told_apart() -> None:
    ratings = [
        rating(item, who, dimensions={"polite": 1.0, "true": float((item + len(who)) % 2)}, days=7.0 * (item % 2))
        for item, who in product(range(40), ("a", "bo"))
    ]

    report = told(ratings)

    polite, true = line(report, By.DIMENSION, "polite"), line(report, By.DIMENSION, "true")
    assert polite.raw is not None
    assert (polite.raw.value, polite.kappa, polite.alpha) == (1.0, None, None), "all the same says nothing of chance"
    assert true.raw is not None
    assert true.raw.value == 0.0
    assert [one.name for one in report.lines if one.by is By.WEEK] == ["2026-W46", "2026-W47"]


def test_grades_agree_in_alpha_by_their_distance_and_in_kappa_by_their_side() -> None:
    draw = Random(3)
    ratings = []
    for item in range(200):
        true = draw.random()
        ratings += [rating(item, who, min(max(true + draw.gauss(0, 0.02), 0.0), 1.0)) for who in "ab"]

    whole = line(told(ratings), By.ALL)

    assert whole.alpha is not None
    assert whole.kappa is not None
    assert whole.alpha.value > 0.95
    assert 0.8 < whole.kappa.value < 1.0


def test_who_chooses_what_stands_first_is_found_and_ties_choose_nothing() -> None:
    swayed = [Checked("a", value=float(first), policy_first=first, gold=None) for first in (True, False) * 100]
    fair = [Checked("b", value=float(item % 2), policy_first=item % 4 < 2, gold=None) for item in range(200)]
    ties = [Checked("b", value=0.5, policy_first=True, gold=None)] * 50

    everybody, a, b = told([], [*swayed, *fair, *ties]).checks

    assert (everybody.annotator_id, a.annotator_id, b.annotator_id) == ("", "a", "b")
    assert everybody.chose_first is not None
    assert everybody.chose_first.value == 0.75
    assert a.chose_first is not None
    assert (a.chose_first.value, a.agreed_with_gold) == (1.0, None)
    assert b.chose_first is not None
    assert (b.chose_first.value, b.chose_first.count) == (0.5, 200)


def test_answers_to_gold_items_are_held_against_what_is_known() -> None:
    checked = [Checked("a", value, None, gold) for value, gold in ((1.0, 1.0), (0.0, 0.0), (0.5, 0.5), (1.0, 0.0))]

    everybody, _ = told([], checked).checks

    assert everybody.agreed_with_gold is not None
    assert (everybody.agreed_with_gold.value, everybody.agreed_with_gold.count) == (0.75, 4)


def test_a_panel_that_changed_within_the_month_is_told() -> None:
    old = [rating(item, "a", days=40.0) for item in range(100)]
    recent = [rating(100 + item, "b" if item < 25 else "a", days=5.0) for item in range(100)]

    assert told(old).turnover is None
    turnover = told([*old, *recent]).turnover
    assert turnover is not None
    assert (turnover.joined, turnover.left, turnover.labels) == (0.25, 0.0, 100)


def test_nothing_judged_is_told_as_nothing() -> None:
    assert told([]) == AgreementReport((), (), None, None, None)
