"""Labels become a cohort by an allow-list, and only so many cohorts are kept apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monitor.domain.cohort import MAX_LABEL_CHARACTERS, MAX_NAME_BYTES, OTHER, UNLABELLED, CohortRule
from monitor.domain.trace import Message
from monitor.observe.cohorts import InMemoryCohortNames, KeyWatch, cohort_of
from tests.real_kafka import ROOT
from tests.traces import trace


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


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Kannst du mir bitte erklären, warum der Himmel blau ist?", "de"),
        ("Explain photosynthesis to a child, please.", "en"),
        ("フランスの首都はどこですか?", "ja"),
        ("Какая столица Франции и где она лежит?", "ru"),
        ("ok", "und"),
        ("12345 {} ==", "und"),
        ("   ", "und"),
        ("half \ud800", "und"),
    ],
)
def test_a_prompt_s_language_is_a_label_where_it_is_a_key(prompt: str, language: str) -> None:
    rule = CohortRule(("prompt_language", "region"))
    messages = (Message("system", "Answer in English only."), Message("user", prompt))
    assert cohort_of(rule, {"region": "eu"}, messages) == f"prompt_language={language},region=eu"
    assert cohort_of(rule, {}, ()) == "prompt_language=und"


def test_a_language_that_the_producer_tells_is_believed_and_nothing_is_computed_unasked() -> None:
    messages = (Message("user", "Explain photosynthesis to a child, please."),)
    assert cohort_of(CohortRule(("prompt_language",)), {"prompt_language": "sv"}, messages) == "prompt_language=sv"
    assert cohort_of(CohortRule(("region",)), {"region": "eu"}, messages) == "region=eu"


def test_the_model_of_languages_is_loaded_only_where_it_is_asked_for() -> None:
    program = (
        "import sys; from tests.traces import trace; from monitor.observe.step import Observer, ObserveRules;"
        " from monitor.observe.cohorts import InMemoryCohortNames; from monitor.observe.repeat import InMemoryRepeats;"
        " from datetime import timedelta;"
        " Observer(ObserveRules(), names=InMemoryCohortNames(5), repeats=InMemoryRepeats(timedelta(1)))"
        ".observe([trace(0)]); assert 'py3langid' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_key_that_no_trace_has_is_told_of_once_with_what_was_meant() -> None:
    watch = KeyWatch(("dataset", "prodct", "prompt_language", "xyz"))
    assert watch.unknown() == []
    labelled = trace(cohort={"dataset": "koala", "product": "chat"})
    watch.see([labelled] * 5)
    assert watch.due() == [], "five are too few to tell in a stream"
    assert watch.unknown() == [
        "unknown cohort key 'prodct': none of 5 traces has it; did you mean 'product'?",
        "unknown cohort key 'xyz': none of 5 traces has it; they have dataset, product",
    ]
    watch.see([labelled] * 9_995)
    assert [len(watch.due()), len(watch.due())] == [2, 0]
