"""What the labels on a trace come to."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from monitor.domain.label import PREFERENCE, REFUSAL, Label, LabelSource, Verdict
from monitor.labels.verdict import verdicts
from tests.labels import label, random_labels
from tests.traces import START


def values(*labels: Label, **question: Any) -> dict[str, tuple[float, int]]:
    found = verdicts(labels, PREFERENCE, **question)
    return {trace_id: (verdict.value, verdict.annotators) for trace_id, verdict in found.items()}


def test_a_verdict_is_the_mean_over_annotators() -> None:
    given = [label(0, value=1.0, inclusion_probability=0.1), label(5, value=0.5, inclusion_probability=0.05), label(3)]
    assert verdicts(given, PREFERENCE) == {"t-0": Verdict(2.5 / 3, 3, START + timedelta(seconds=5), 0.05)}


def test_the_latest_label_of_an_annotator_counts_whichever_came_first() -> None:
    later, earlier = label(2, annotator_id="ada", value=0.0), label(1, annotator_id="ada", value=1.0)
    assert values(later, earlier) == values(earlier, later) == {"t-0": (0.0, 1)}


def test_a_label_id_s_latest_content_takes_the_place_of_the_earlier_one_on_another_trace_too() -> None:
    moved = label(2, label_id="l-1", trace_id="t-1")
    assert values(label(1), moved) == {"t-1": (1.0, 1)}
    assert values(label(1), label(2, label_id="l-1", kind=REFUSAL)) == {}
    assert values(label(1, annotator_id="ada"), label(2, label_id="l-1", annotator_id="bo")) == {"t-0": (1.0, 1)}


def test_labels_without_an_annotator_are_a_person_each() -> None:
    assert values(label(1, annotator_id=None), label(2, annotator_id=None, value=0.0)) == {"t-0": (0.5, 2)}
    assert values(label(1, annotator_id=None), label(2, annotator_id="l-1")) == {"t-0": (1.0, 2)}


def test_only_the_asked_kind_criteria_and_source_count() -> None:
    given = [label(1), label(2, criteria_version="c-2", value=0.0), label(3, kind=REFUSAL, value=0.0)]
    given += [label(4, source=LabelSource.AI, value=0.0), label(5, source=LabelSource.USER, value=0.0)]
    assert values(*given) == {"t-0": (0.5, 2)}
    assert values(*given, criteria_version="c-1") == {"t-0": (1.0, 1)}
    assert values(*given, sources={LabelSource.AI}) == {"t-0": (0.0, 1)}


def test_a_correction_need_not_repeat_the_probability_and_the_latest_stated_one_holds() -> None:
    first = label(1, annotator_id="ada", inclusion_probability=0.2)
    corrected = label(2, annotator_id="ada", value=0.0)
    unstated = label(3, annotator_id="bo")
    assert verdicts([first, corrected, unstated], PREFERENCE, stated_only=True) == {
        "t-0": Verdict(0.0, 1, corrected.timestamp, 0.2)
    }
    mended = label(4, annotator_id="ada", value=0.0, inclusion_probability=0.5)
    assert verdicts([mended, first], PREFERENCE)["t-0"].probability == 0.5
    assert values(unstated, stated_only=True) == {}


@pytest.mark.parametrize("seed", range(5))
def test_no_order_of_arrival_and_no_second_arrival_changes_a_verdict(seed: int) -> None:
    random = Random(seed)
    given = random_labels(random, 40)
    again = random.sample(given, len(given)) + given[::3]
    assert verdicts(given, PREFERENCE) == verdicts(again, PREFERENCE)
