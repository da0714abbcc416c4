"""What instrumented clients of many providers export becomes one trace a call, as far as they tell of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.domain.trace import Trace
from tests.exports import FOLDER, exports, json_exports, parts_of, traces_of

SCRIPT: list[dict[str, Any]] = json.loads((FOLDER / "script.json").read_text(encoding="utf-8"))
MODEL, ANSWERED_BY = "chat-7b", "chat-7b-2026-10-01"
PRODUCERS = sorted(file.name.removesuffix(".pb.gz") for file in FOLDER.glob("*.pb.gz"))
FINISH: dict[str | None, set[str | None]] = {  # the words that providers and producers have for the script's
    "stop": {"stop", "end_turn", "STOP"},
    "tool": {"tool_call", "tool_calls", "tool_use"},
    "length": {"length", "max_tokens", "MAX_TOKENS"},
    None: {None},
}
ROLES = {"model": "assistant"}  # Google's
TOOL_RESULTS = {"rain, 4 degrees", '{"result": "rain, 4 degrees"}'}
STREAMED = {call["name"] for call in SCRIPT if call.get("streamed")}
ALL = {call["name"] for call in SCRIPT}
WITHOUT: dict[tuple[str, str], set[str]] = {  # the calls of which a producer does not tell, or tells another, field
    ("anthropic", "response"): {"streamed", "streamed thinking"},
    ("openllmetry_anthropic", "output_tokens"): STREAMED,  # it adds the count of the first event to the last one's
    ("openllmetry_anthropic_events", "output_tokens"): STREAMED,
    ("openllmetry_anthropic_events", "messages"): ALL,  # its log records name the span around the call
    ("openllmetry_anthropic_events", "response"): ALL,
    ("openllmetry_anthropic_events", "tool_calls"): ALL,
    ("openllmetry_bedrock", "messages"): {"failed"},
    ("openllmetry_google", "messages"): {"chat", "after a tool", "parts"},  # no instructions, and objects as texts
    ("openllmetry_google", "output_tokens"): {"thinking", "streamed thinking"},  # it leaves out those of thoughts
    ("openllmetry_google", "response"): {"streamed", "streamed thinking"},  # it loses the first piece
    ("openllmetry_langchain", "policy_model"): STREAMED,  # it repeats the model that was asked for
    ("openllmetry_langchain_openai", "policy_model"): STREAMED,
    ("openllmetry_mistral", "messages"): ALL,
    ("openllmetry_mistral", "tool_calls"): ALL,
    ("openinference_mistral", "cached_input_tokens"): ALL,
    ("semconv_bedrock", "response"): {"two tools"},
}
NO_MODEL_OF_THE_ANSWER = {"openinference_bedrock", "openllmetry_bedrock", "openllmetry_google", "semconv_bedrock"}
WORD_OF_A_TOOL = {"openinference_google", "openllmetry_google", "semconv_google", "semconv_google_events"}


def traces_by_call(producer: str) -> dict[str, list[Trace]]:
    found: dict[str, list[Trace]] = {call["name"]: [] for call in SCRIPT}
    for trace in traces_of(parts_of(exports(producer))):
        found[trace.conversation_id or ""].append(trace)
    return found


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part for part in content if isinstance(part, str))


def wanted(call: dict[str, Any]) -> dict[str, Any]:
    """Return what a trace of *call* should tell."""
    failed = call.get("status", 200) != 200
    return {
        "messages": [(message["role"], text_of(message["content"])) for message in call["messages"]],
        "response": call["response"],
        "tool_calls": len(call.get("tool_calls", ())),
        "input_tokens": None if failed else call["tokens"][0],
        "output_tokens": None if failed else call["tokens"][1],
        "cached_input_tokens": call.get("cached", 0),
        "policy_model": MODEL if failed else ANSWERED_BY,
        "failed": failed,
        "truncated": False,
        "user_id": "u-1",
    }


def told(trace: Trace) -> dict[str, Any]:
    """Return what *trace* tells, in the script's words."""
    messages = [(ROLES.get(message.role, message.role), message.content) for message in trace.messages]
    return {
        "messages": [("tool", "rain, 4 degrees") if text in TOOL_RESULTS else (role, text) for role, text in messages],
        "response": trace.response,
        "tool_calls": trace.tool_calls,
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cached_input_tokens": trace.cached_input_tokens or 0,
        "policy_model": trace.policy_model,
        "failed": trace.error is not None,
        "truncated": trace.truncated,
        "user_id": trace.user_id,
    }


@pytest.mark.parametrize("producer", PRODUCERS)
def test_every_call_is_one_trace_that_tells_what_the_script_says(producer: str) -> None:
    found = traces_by_call(producer)
    for call in SCRIPT:
        name = call["name"]
        (trace,) = found[name]
        should, does = wanted(call), told(trace)
        if producer in NO_MODEL_OF_THE_ANSWER:
            should["policy_model"] = MODEL
        differing = {field for field in should if should[field] != does[field]}
        excused = {field for (of, field), calls in WITHOUT.items() if of == producer and name in calls}
        assert differing <= excused, (name, {field: (does[field], should[field]) for field in differing - excused})
        words = FINISH[call["finish"]] | (FINISH["stop"] if producer in WORD_OF_A_TOOL else set())
        assert trace.finish_reason in words


@pytest.mark.parametrize(("producer", "field"), WITHOUT)
def test_what_a_producer_is_said_to_leave_out_it_leaves_out(producer: str, field: str) -> None:
    found = traces_by_call(producer)
    calls = [call for call in SCRIPT if call["name"] in WITHOUT[producer, field]]
    assert any(told(found[call["name"]][0])[field] != wanted(call)[field] for call in calls)


@pytest.mark.parametrize("producer", PRODUCERS)
def test_both_encodings_tell_the_same(producer: str) -> None:
    assert parts_of(exports(producer)) == parts_of(json_exports(producer))
