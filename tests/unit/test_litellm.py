"""What LiteLLM's own code wrote becomes traces: each call once, as far as the payload tells of it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.domain.trace import Message, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason
from monitor.ingest.formats.litellm import FORMAT
from monitor.ingest.outcome import Carries, Outcome, Skipped, SkipReason
from monitor.ingest.record import Record
from tests.recordings import litellm_calls, litellm_payloads, script

NOW = datetime(2026, 12, 1, tzinfo=UTC)
WANTED = frozenset({"team", "beta", "plan", "tier", "custom_llm_provider"})
LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366), WANTED)
CALLS = litellm_calls()
ASKED = (Message("user", "Say something."),)


def outcomes(record: Record) -> list[Outcome]:
    return list(FORMAT.decoders[Carries.TRACES](record, LIMITS, NOW))


def only(record: Record) -> Outcome:
    (outcome,) = outcomes(record)
    return outcome


def trace_of(record: Record) -> Trace:
    outcome = only(record)
    assert isinstance(outcome, Trace), outcome
    return outcome


def changed(case: str = "chat", **changes: Any) -> Record:
    """Return a recorded payload with other values; None of a field named `-field` takes it out."""
    payload = json.loads(CALLS[case].value or b"")
    for name, value in changes.items():
        payload[name] = value
        if value is ...:
            del payload[name]
    return Record("litellm", 0, 0, None, json.dumps(payload).encode(), timestamp_ms=1_795_000_000_000)


def test_the_ten_calls_of_the_script_are_ten_traces() -> None:
    traces = [trace_of(record) for record in litellm_payloads()]
    assert len({trace.trace_id for trace in traces}) == 10
    for number, (call, trace) in enumerate(zip(script(), traces, strict=True), start=1):
        assert trace.messages == tuple(Message(role, content) for role, content in call.messages)
        assert trace.response == call.response
        assert trace.finish_reason == (None if call.failed else call.finish_reason)
        assert trace.input_tokens == (None if call.failed else call.input_tokens)
        assert trace.output_tokens == (None if call.failed else call.output_tokens)
        assert (trace.error is not None) is call.failed
        assert trace.tool_calls == call.tool_calls
        assert (trace.conversation_id, trace.user_id) == (f"s-v{number}", "u-1")
        assert trace.cohort == {"team": "shop", "tier": "gold", "custom_llm_provider": "openai"}
        assert trace.policy_model == ("chat-7b" if number == 7 or call.failed else "chat-7b-2026-10-01")
        assert trace.latency_seconds is not None
        assert 0 < trace.latency_seconds < 1


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("chat", {"response": "A chat's answer.", "messages": ASKED, "output_tokens": 5, "user_id": None}),
        ("tags", {"conversation_id": "s-1", "user_id": "u-1"}),
        ("session", {"conversation_id": "s-2"}),
        ("refusal", {"response": "I will not say that."}),
        ("reasoning", {"response": "A chat's answer."}),
        ("filtered", {"response": None, "finish_reason": "content_filter", "output_tokens": 5}),
        ("two choices", {"response": "A chat's answer."}),
        ("picture", {"messages": (Message("user", "What is this?"),), "truncated": False}),
        ("tools", {"response": None, "tool_calls": 2, "finish_reason": "tool_calls"}),
        ("stream", {"response": "A streamed answer.", "output_tokens": 5}),
        ("stream uncounted", {"response": "A streamed answer."}),
        ("failure", {"response": None, "output_tokens": None, "policy_model": "m"}),
        ("text", {"response": " upon a time.", "messages": (Message("user", "Once"),), "finish_reason": "length"}),
        ("text of two", {"messages": (Message("user", "Once"), Message("user", "Twice"))}),
        ("text of tokens", {"messages": (), "response": " upon a time."}),
        ("responses", {"response": "An answer of items.", "messages": (Message("system", "Be short."), *ASKED)}),
        ("responses stream", {"response": "An answer of items.", "finish_reason": "completed"}),
        ("responses cut", {"response": "An answer of items.", "finish_reason": "max_output_tokens"}),
        ("messages", {"response": "A message's answer.", "messages": (Message("system", "Be short."), *ASKED)}),
        ("generate content", {"response": "A candidate's answer.", "policy_model": "g-1-002"}),
        ("redacted", {"response": None, "messages": (), "output_tokens": 5, "finish_reason": "stop"}),
        ("redacted stream", {"response": None, "messages": (), "output_tokens": 5}),
        ("redacted tools", {"response": None, "messages": (), "tool_calls": 2}),
        ("redacted failure", {"response": None, "messages": (), "output_tokens": None}),
        ("redacted responses", {"response": None, "messages": (), "output_tokens": 6}),
        ("redacted text", {"response": None, "messages": (), "finish_reason": "length"}),
    ],
)
def test_a_call_tells_what_was_asked_and_answered(case: str, told: dict[str, Any]) -> None:
    trace = trace_of(CALLS[case])
    assert {name: getattr(trace, name) for name in told} == told
    assert trace.trace_id == json.loads(CALLS[case].value or b"")["litellm_call_id"]
    assert not trace.truncated
    assert (trace.error is not None) is case.endswith("failure")


def test_a_response_that_failed_beside_a_status_of_200_is_an_error() -> None:
    response = {
        "model": "m",
        "status": "failed",
        "output": [],
        "error": {"code": "server_error", "message": "it broke"},
    }
    trace = trace_of(changed("responses", response=response))
    assert (trace.error, trace.response, trace.finish_reason) == ("it broke", None, "failed")


def test_items_of_the_responses_api_are_a_prompt_with_the_tools_answer() -> None:
    trace = trace_of(CALLS["responses items"])
    assert trace.messages == (*ASKED, Message("assistant", ""), Message("tool", "42"))
    assert (trace.response, trace.tool_calls) == ("An answer of items.", 1)


@pytest.mark.parametrize("case", ["embedding", "image", "moderation", "transcription", "speech", "rerank"])
def test_a_call_that_answers_nobody_is_skipped(case: str) -> None:
    assert only(CALLS[case]) == Skipped(SkipReason.OTHER_SPAN)


def test_an_answer_from_the_cache_is_skipped() -> None:
    assert only(CALLS["cached again"]) == Skipped(SkipReason.CACHE_HIT)
    assert trace_of(CALLS["cached first"]).response == "A chat's answer."


@pytest.mark.parametrize("case", ["json_array", "ndjson"])
def test_a_batch_holds_its_payloads(case: str) -> None:
    assert outcomes(CALLS[case]) == [trace_of(CALLS[name]) for name in ("chat", "tags", "session")]


def test_the_proxy_s_requests_are_traces_where_a_model_was_called() -> None:
    found = outcomes(CALLS["proxy"])
    traces = {trace.trace_id: trace for trace in found if isinstance(trace, Trace)}
    skipped = Counter(outcome.reason for outcome in found if isinstance(outcome, Skipped))
    assert skipped == {SkipReason.CACHE_HIT: 1, SkipReason.OTHER_SPAN: 2}
    assert len(found) == len(traces) + 3 == 7
    first, _, failed, fallen_back = traces.values()
    assert (first.user_id, first.conversation_id) == ("end-user-1", "s-3")
    assert first.cohort == {"team": "shop", "plan": "gold", "custom_llm_provider": "openai"}
    assert failed.error is not None
    assert (fallen_back.trace_id, fallen_back.response) == (f"{failed.trace_id}-1", "A chat's answer.")


@pytest.mark.parametrize("case", ["cut answer", "cut prompt"])
def test_what_a_logger_cut_is_marked_and_read_as_far_as_it_goes(case: str) -> None:
    whole = trace_of(CALLS[case.replace("cut answer", "long").replace("cut prompt", "long prompt")])
    trace = trace_of(CALLS[case])
    assert trace.truncated
    assert not whole.truncated
    assert trace.response is not None
    assert (whole.response or "").startswith(trace.response)
    assert len(trace.response) > 9_000 or case == "cut prompt"
    assert whole.messages[0].content.startswith(trace.messages[0].content)
    assert (trace.policy_model, trace.finish_reason, trace.output_tokens) == (whole.policy_model, "stop", 5)


def test_what_python_shows_and_no_text_can_hold_is_left_out_of_a_cut_answer() -> None:
    end = "...truncated by litellm, this logger does not support large content"
    shown = str({"model": "m", "choices": [{"message": {"content": "a\x00b\ud800c"}}]})
    assert trace_of(changed(response=shown + end)).response == "abc"
    prompt = str([{"role": "user", "content": 'It\'s "so"\n'}, {"role": "assistant", "content": "cut"}])
    messages = (Message("user", 'It\'s "so"\n'), Message("assistant", "cu"))
    assert trace_of(changed(messages=prompt[:-4] + end)).messages == messages


@pytest.mark.parametrize(
    "text",
    [
        "The beginning... (litellm_truncated 12982 chars)",
        "The beginning... (litellm_truncated skipped 7 chars) ...the end",
        "The beginning... (litellm_truncated skipped 7 chars. Truncation is a DB storage safeguard.) ...the end",
        "The beginning...truncated by litellm, this logger does not support large content",
        "[truncated by litellm]...the end",
    ],
)
def test_every_mark_of_a_cut_is_known(text: str) -> None:
    assert trace_of(changed(messages=[{"role": "user", "content": text}])).truncated
    answer = {"model": "m", "choices": [{"message": {"content": text}}]}
    assert trace_of(changed(response=answer)).truncated
    assert not trace_of(changed(messages=[{"role": "user", "content": "Say litellm_truncated twice."}])).truncated


@pytest.mark.parametrize(
    ("changes", "moment"),
    [
        ({"endTime": 1_795_247_738.5}, datetime(2026, 11, 21, 7, 55, 38, 500_000, tzinfo=UTC)),
        ({"endTime": "2026-11-21T08:55:38.5+01:00"}, datetime(2026, 11, 21, 7, 55, 38, 500_000, tzinfo=UTC)),
        ({"endTime": "2026-11-21 07:55:38"}, datetime(2026, 11, 21, 7, 55, 38, tzinfo=UTC)),
        ({"endTime": ..., "startTime": 1_795_247_738}, datetime(2026, 11, 21, 7, 55, 38, tzinfo=UTC)),
        ({"endTime": None, "startTime": ...}, datetime(2026, 11, 18, 11, 6, 40, tzinfo=UTC)),
    ],
    ids=["seconds", "ISO 8601 with a zone", "ISO 8601 without", "the start where no end is told", "Kafka's own"],
)
def test_the_time_is_when_the_answer_was_there(changes: dict[str, Any], moment: datetime) -> None:
    assert trace_of(changed(**changes)).timestamp == moment


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        ({"litellm_call_id": None, "id": None}, Reason.MISSING_FIELD, "litellm_call_id"),
        ({"model": "", "response": {"choices": []}}, Reason.MISSING_FIELD, "model"),
        ({"litellm_call_id": "x" * 600}, Reason.IDENTIFIER_TOO_LONG, "600"),
        ({"endTime": "yesterday"}, Reason.INVALID_TIMESTAMP, "endTime = yesterday"),
        ({"startTime": 1e300}, Reason.INVALID_TIMESTAMP, "startTime"),
        ({"endTime": 12.0}, Reason.TIMESTAMP_OUT_OF_RANGE, "1970"),
        ({"messages": 7}, Reason.WRONG_TYPE, "messages"),
        ({"messages": [{"role": 7}]}, Reason.WRONG_TYPE, "messages[0].role"),
        (
            {"response": {"choices": [{"message": {"content": 7}}]}},
            Reason.WRONG_TYPE,
            "response.choices[0].message.content",
        ),
        ({"completion_tokens": -1}, Reason.NUMBER_OUT_OF_RANGE, "completion_tokens"),
        (
            {"response": {}, "completion_tokens": None, "startTime": None, "response_time": None},
            Reason.MISSING_FIELD,
            "response",
        ),
        ({"cache_hit": "perhaps"}, Reason.WRONG_TYPE, "cache_hit"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], reason: Reason, named: str) -> None:
    outcome = only(changed(**changes))
    assert isinstance(outcome, InvalidTrace), outcome
    assert outcome.reason == reason
    assert named in outcome.detail


def test_a_redacted_answer_without_a_count_is_no_answer_of_no_length() -> None:
    trace = trace_of(changed("redacted", completion_tokens=0))
    assert (trace.response, trace.output_tokens, trace.error) == (None, None, None)
    assert trace.latency_seconds


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud83d", "\\uDC00"], ids=["NUL", "half a pair", "the other half"])
def test_characters_that_no_database_holds_are_replaced(escape: str) -> None:
    value = (changed("chat").value or b"").replace(b"A chat's answer.", rf"\\u0000 {escape}!".encode())
    assert trace_of(Record("litellm", 0, 0, None, value)).response == "\\u0000 \N{REPLACEMENT CHARACTER}!"


def test_fields_that_an_operator_leaves_out_are_not_needed() -> None:
    bare = {"litellm_call_id": "c-1", "model": "m", "completion_tokens": 3}
    trace = trace_of(Record("litellm", 0, 0, None, json.dumps(bare).encode(), timestamp_ms=1_795_000_000_000))
    assert (trace.trace_id, trace.policy_model, trace.output_tokens, trace.messages) == ("c-1", "m", 3, ())
