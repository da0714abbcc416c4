"""What users did after answers: each trace counts once, as 1 or 0, and only what came within its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from monitor.domain.label import Label, LabelSource
from monitor.domain.observation import LogEntry, Source
from monitor.labels.feedback import FeedbackRule, FollowedTrace, feedback_entry
from monitor.settings.labels import FeedbackName
from monitor.signals.user_feedback import FEEDBACK
from tests.traces import START

DAY = timedelta(hours=24)
ALL = FeedbackRule(tuple(FEEDBACK.values()), DAY)
TRACE = FollowedTrace("t-1", START, "m", "a")


def event(kind: str, value: float = 1.0, *, after: timedelta = timedelta(minutes=5), **changes: object) -> Label:
    usual = Label(f"l-{kind}-{value}-{after}", START + after, "t-1", kind, value, source=LabelSource.USER)
    return replace(usual, **changes)  # type: ignore[arg-type]


def seen(labels: Iterable[Label], traces: Iterable[FollowedTrace] = (TRACE,)) -> Mapping[str, float]:
    entry = feedback_entry(list(traces), labels, ALL)
    assert isinstance(entry, LogEntry)
    assert entry.source is Source.FEEDBACK
    assert {batch.series.scorer_version for batch in entry.observations} == {"within-24h"}
    return {batch.series.signal: float(batch.values.mean()) for batch in entry.observations}


def test_a_trace_of_which_nothing_is_told_counts_as_zero_in_each() -> None:
    assert seen(()) == dict.fromkeys(FEEDBACK, 0.0)


@pytest.mark.parametrize(
    ("label", "signal"),
    [
        (event("rating", 0.0), "thumbs_down"),
        (event("rating", 1.0), "thumbs_up"),
        (event("escalation"), "escalation"),
        (event("reopen"), "reopen"),
        (event("edit", 0.6), "edit"),
        (event("regeneration"), "regeneration"),
        (event("abandonment"), "abandonment"),
        (event("reopen", after=DAY), "reopen"),
        (event("reopen", after=-timedelta(minutes=1)), "reopen"),
        (event("edit", 0.4), None),
        (event("reopen", 0.0), None),
        (event("reopen", after=DAY + timedelta(seconds=1)), None),
        (event("reopen", source=LabelSource.HUMAN), None),
        (event("reopen", trace_id="t-2"), None),
        (event("correct"), None),
    ],
)
def test_what_its_user_did_in_time_counts(label: Label, signal: str | None) -> None:
    assert seen([label]) == dict.fromkeys(FEEDBACK, 0.0) | ({} if signal is None else {signal: 1.0})


def test_an_event_that_is_taken_back_counts_no_more_and_two_count_once() -> None:
    told = event("escalation", label_id="l-1")
    back = event("escalation", 0.0, after=timedelta(minutes=9), label_id="l-1")
    assert seen([told, back])["escalation"] == 0.0
    again = event("escalation", after=timedelta(minutes=9))
    assert seen([told, again], [TRACE, FollowedTrace("t-2", START, "m", "b")])["escalation"] == 0.5


def test_policy_models_and_cohorts_are_kept_apart() -> None:
    traces = [TRACE, FollowedTrace("t-2", START, "n", "b")]
    entry = feedback_entry(traces, [event("reopen")], FeedbackRule((FEEDBACK["reopen"],), DAY))
    assert entry is not None
    found = {batch.series.policy_model: (batch.cohorts, batch.values.tolist()) for batch in entry.observations}
    assert found == {"m": (("a",), [1.0]), "n": (("b",), [0.0])}
    assert feedback_entry([], (), ALL) is None


def test_other_hours_are_another_version_and_the_settings_know_every_signal() -> None:
    assert FeedbackRule(window=timedelta(hours=1.5)).version == "within-1.5h"
    assert set(get_args(FeedbackName)) == set(FEEDBACK)
