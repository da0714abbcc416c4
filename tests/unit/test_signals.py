"""What can be observed of one trace, and what it says nothing about."""

from __future__ import annotations

import pytest

from monitor.domain.score import Opinion, Reward, win_of
from monitor.domain.trace import TokenSource
from monitor.ingest.decode import count_output_tokens
from monitor.signals.observe import observe
from monitor.signals.refusal.observers import refusal_model
from monitor.signals.set import DEFAULT
from tests.traces import REFUSAL, trace

REFUSAL_VERSION = refusal_model().version
REWARD = Reward("v1", (0.25, 0.75), 0.5, 0.25, 0.25)


def observed(reward: Reward | None = None, **changes: object) -> dict[tuple[str, str], float]:
    columns = observe([trace(0, **changes)], [reward], [None], DEFAULT)
    return {(seen.signal, seen.scorer_version): seen.value for (seen,) in columns if seen is not None}


def test_an_answered_trace_is_observed_by_every_signal_it_says_something_about() -> None:
    assert observed(REWARD, feedback_rating=-1.0) == {
        ("response_length", "reported"): 100.0,
        ("refusal", REFUSAL_VERSION): pytest.approx(0.0, abs=0.01),
        ("truncation", "reported"): 0.0,
        ("error", "reported"): 0.0,
        ("negative_feedback", "reported"): 1.0,
        ("reward", "v1"): 0.5,
        ("disagreement", "v1"): 0.25,
    }


def test_a_failed_call_is_an_error_and_neither_short_nor_willing() -> None:
    failed = observed(response=None, error="500", finish_reason=None, output_tokens=0)
    assert failed == {("error", "reported"): 1.0}


@pytest.mark.parametrize("source", TokenSource)
def test_lengths_in_different_units_are_never_compared(source: TokenSource) -> None:
    assert ("response_length", source.value) in observed(output_tokens_source=source)


def test_a_refusal_a_cut_answer_and_a_content_user_are_seen() -> None:
    seen = observed(response=REFUSAL, finish_reason="LENGTH", feedback_rating=0.0)
    assert seen["refusal", REFUSAL_VERSION] > 0.9
    assert seen["truncation", "reported"] == 1.0
    assert seen["negative_feedback", "reported"] == 0.0


def test_an_opinion_is_observed_under_its_scorer_and_is_no_win_rate() -> None:
    seen = [one for (one,) in observe([trace(0)], [REWARD], [Opinion("v1", 0.75)], DEFAULT) if one is not None]
    assert [(one.signal, one.value) for one in seen if one.scorer_version == "v1"][-1] == ("reward_win", 0.75)


def test_members_that_disagree_are_each_heard_and_a_temperature_tames_them() -> None:
    answer, reference = Reward("v1", (3.0, -1.0), 1.0, 0.0, 2.0), Reward("v1", (1.0, 1.0), 1.0, 0.0, 0.0)
    assert answer.margins(reference) == (2.0, -2.0)
    assert win_of(answer.margins(reference), 1.0) == pytest.approx(0.5)
    assert 0.5 < win_of((2.0,), 4.0) < win_of((2.0,), 1.0) < win_of((2.0,), 0.1) <= 1.0


def test_a_single_member_has_no_disagreement() -> None:
    assert not [key for key in observed(Reward("v1", (0.5,), 0.5, 0.5, 0.0)) if key[0] == "disagreement"]


def test_tokens_without_a_text_are_a_length_and_no_refusal() -> None:
    silent = observed(response=None, messages=())
    assert silent == {
        ("response_length", "reported"): 100.0,
        ("truncation", "reported"): 0.0,
        ("error", "reported"): 0.0,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"response": None, "tool_calls": 2},
        {"response": "Let me look.", "tool_calls": 1},
        {"finish_reason": "tool_calls"},
    ],
    ids=["tools alone", "tools after a word", "tools told by the finish reason alone"],
)
def test_a_call_of_tools_has_no_length_of_prose_and_is_refused_by_its_text_alone(changes: dict[str, object]) -> None:
    seen = observed(None, **changes)
    assert ("response_length", "reported") not in seen
    assert (("refusal", REFUSAL_VERSION) in seen) == (changes.get("response", "") is not None)
    assert seen["error", "reported"] == 0.0


@pytest.mark.parametrize(
    ("response", "value"),
    [
        (REFUSAL + " Why" + " not" * 250, 1.0),
        ("This is the answer that you asked for. " * 25, 0.0),
        ("A short one that was cut", None),
        (REFUSAL, None),
        ("<think>" + "well " * 400, None),
        ("<think>well</think>" + "This is the answer that you asked for. " * 25, 0.0),
    ],
)
def test_a_text_that_was_cut_is_read_for_refusals_where_its_opening_is_whole(
    response: str, value: float | None
) -> None:
    read = observed(response=response, truncated=True).get(("refusal", REFUSAL_VERSION))
    assert (None if read is None else round(read)) == value


def test_what_was_cut_is_neither_counted_in_words_nor_a_repeat_of_what_begins_alike() -> None:
    whole = trace(output_tokens=None, response="one two three", conversation_id="c")
    cut = trace(output_tokens=None, response="one two three", conversation_id="c", truncated=True)
    assert count_output_tokens(whole, None).output_tokens == 3
    assert count_output_tokens(cut, None).output_tokens is None
    assert (len(whole.repeat_keys()), len(cut.repeat_keys())) == (2, 1)
