"""Labels become a cohort by an allow-list, and only so many cohorts are kept apart."""

from __future__ import annotations

from monitor.domain.cohort import MAX_LABEL_CHARACTERS, MAX_NAME_BYTES, OTHER, UNLABELLED, CohortRule
from monitor.observe.cohorts import InMemoryCohortNames


def test_a_cohort_s_name_holds_the_allowed_labels_in_the_rule_s_order() -> None:
    rule = CohortRule(("region", "dataset"))
    assert rule.name({"dataset": "koala", "region": "eu", "user": "u-1"}) == "region=eu,dataset=koala"
    assert rule.name({"dataset": "koala"}) == "dataset=koala"


def test_a_trace_without_an_allowed_label_has_no_cohort() -> None:
    assert CohortRule(("dataset",)).name({"user": "u-1"}) == UNLABELLED
    assert CohortRule().name({"dataset": "koala"}) == UNLABELLED


def test_a_long_label_is_cut() -> None:
    assert CohortRule(("a",)).name({"a": "x" * 1000}) == "a=" + "x" * MAX_LABEL_CHARACTERS


def test_a_name_of_many_long_labels_is_cut_between_two_characters() -> None:
    keys = tuple("abcdefghij")
    name = CohortRule(keys).name(dict.fromkeys(keys, "\u754c" * 100))
    assert MAX_NAME_BYTES - 3 < len(name.encode()) <= MAX_NAME_BYTES
    assert name.startswith("a=\u754c")


def test_the_first_cohorts_to_come_are_kept_and_the_rest_are_other_for_good() -> None:
    names = InMemoryCohortNames(2)
    assert names.admit(["b", "a", "b", "c"]) == {"b": "b", "a": "a", "c": OTHER}
    assert names.admit(["c", "a", "d"]) == {"c": OTHER, "a": "a", "d": OTHER}
