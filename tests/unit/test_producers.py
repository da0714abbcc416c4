"""What instrumented clients of many providers export becomes one trace a call, as far as they tell of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.domain.trace import Trace
from tests.exports import FOLDER, exports, json_exports, parts_of, traces_of

SCRIPT: list[dict[str, Any]] = json.loads((FOLDER / "script.json").read_text(encoding="utf-8"))
MODEL, ANSWERED_BY = "chat-7b", "chat-7b-2026-10-01"
CREW = "openinference_crewai"  # it asks for other texts
PRODUCERS = sorted({file.name.removesuffix(".pb.gz") for file in FOLDER.glob("*.pb.gz")} - {CREW})
FINISH = {  # the words that providers and producers have for the script's
    **dict.fromkeys(("stop", "end_turn", "STOP"), "stop"),
    **dict.fromkeys(("tool_call", "tool_calls", "tool_use", "tool-calls"), "tool"),
    **dict.fromkeys(("length", "max_tokens", "MAX_TOKENS"), "length"),
}
ROLES = {"model": "assistant"}  # Google's
TOOL_RESULTS = {"rain, 4 degrees", '{"result": "rain, 4 degrees"}'}
ALL = {call["name"] for call in SCRIPT}
STREAMED = {call["name"] for call in SCRIPT if call.get("streamed")}
TOOLS = {call["name"] for call in SCRIPT if "tool_calls" in call}
CACHED = {call["name"] for call in SCRIPT if "cached" in call}
WITHOUT: dict[tuple[str, str], set[str]] = {  # the calls of which a producer does not tell, or tells another, field
    ("anthropic", "response"): {"streamed", "streamed thinking"},
    ("langfuse_langchain", "finish_reason"): ALL,
    ("langfuse_langchain", "policy_model"): STREAMED,
    ("langfuse_openai", "finish_reason"): ALL,
    ("mlflow_openai", "finish_reason"): {"streamed tool"},
    ("mlflow_openai", "tool_calls"): {"streamed tool"},
    ("mlflow_openai", "user_id"): ALL,  # nor the conversation: both are metadata, which it does not export
    ("openinference_agents", "finish_reason"): TOOLS,  # the Responses API has no such reason
    ("openinference_agents_openai", "failed"): {"cut"},  # which these agents take for a failure
    ("openinference_agents_openai", "finish_reason"): TOOLS | {"cut"},
    ("openinference_bedrock", "policy_model"): ALL,  # Bedrock names no model
    ("openinference_dspy", "cached_input_tokens"): ALL,
    ("openinference_dspy", "finish_reason"): ALL,
    ("openinference_dspy", "input_tokens"): ALL,
    ("openinference_dspy", "output_tokens"): ALL,
    ("openinference_dspy", "policy_model"): ALL,
    ("openinference_google", "finish_reason"): TOOLS,  # Google has no such reason
    ("openinference_haystack", "cached_input_tokens"): ALL,
    ("openinference_haystack", "finish_reason"): ALL,
    ("openinference_haystack", "messages"): {"after a tool", "parts"},  # the first text alone
    ("openinference_haystack_openai", "messages"): {"after a tool", "parts"},
    ("openinference_llamaindex", "policy_model"): ALL,
    ("openinference_mistral", "cached_input_tokens"): ALL,
    ("openllmetry_agents", "finish_reason"): {"two tools"},
    ("openllmetry_anthropic", "output_tokens"): STREAMED,  # it adds the count of the first event to the last one's
    ("openllmetry_anthropic_events", "messages"): ALL,  # its log records name the span around the call
    ("openllmetry_anthropic_events", "output_tokens"): STREAMED,
    ("openllmetry_anthropic_events", "response"): ALL,
    ("openllmetry_anthropic_events", "tool_calls"): ALL,
    ("openllmetry_bedrock", "messages"): {"failed"},
    ("openllmetry_bedrock", "policy_model"): ALL,
    ("openllmetry_google", "finish_reason"): TOOLS,
    ("openllmetry_google", "messages"): {"chat", "after a tool", "parts"},  # no instructions, and objects as texts
    ("openllmetry_google", "output_tokens"): {"thinking", "streamed thinking"},  # it leaves out those of thoughts
    ("openllmetry_google", "policy_model"): ALL,
    ("openllmetry_google", "response"): {"streamed", "streamed thinking"},  # it loses the first piece
    ("openllmetry_langchain", "policy_model"): STREAMED,  # it repeats the model that was asked for
    ("openllmetry_langchain_openai", "policy_model"): STREAMED,
    ("openllmetry_llamaindex", "finish_reason"): STREAMED,
    ("openllmetry_llamaindex", "tool_calls"): TOOLS,
    ("openllmetry_mistral", "messages"): ALL,
    ("openllmetry_mistral", "tool_calls"): ALL,
    ("pydantic_ai", "messages"): {"failed"},
    ("semconv_agents", "cached_input_tokens"): ALL,
    ("semconv_agents", "finish_reason"): ALL,
    ("semconv_agents", "messages"): {"chat", "after a tool", "parts"},
    ("semconv_agents", "tool_calls"): {"two tools"},  # the text beside them alone
    ("semconv_bedrock", "policy_model"): ALL,
    ("semconv_bedrock", "response"): {"two tools"},
    ("semconv_google", "finish_reason"): TOOLS,
    ("semconv_google_events", "finish_reason"): TOOLS,
}
NO_TRACE = {  # of calls that failed: no span, or one that names no model
    "openinference_agents": {"cut", "failed"},
    "openinference_haystack": {"failed"},
    "openllmetry_agents": {"cut", "failed"},
    "openllmetry_llamaindex": {"failed"},
    "semconv_agents": {"cut", "failed"},
}


def traces_by_call(producer: str) -> dict[str, list[Trace]]:
    found: dict[str, list[Trace]] = {call["name"]: [] for call in SCRIPT}
    last = {text_of(call["messages"][-1]["content"]): call["name"] for call in SCRIPT}
    for trace in traces_of(parts_of(exports(producer))):
        name = trace.conversation_id
        found[name if name in found else last[trace.messages[-1].content]].append(trace)  # some name their own
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
        "finish_reason": call["finish"],
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
        "finish_reason": FINISH.get(trace.finish_reason or ""),
        "truncated": trace.truncated,
        "user_id": trace.user_id,
    }


@pytest.mark.parametrize("producer", PRODUCERS)
def test_every_call_is_one_trace_that_tells_what_the_script_says(producer: str) -> None:
    found = traces_by_call(producer)
    for call in SCRIPT:
        name = call["name"]
        assert len(found[name]) == (0 if name in NO_TRACE.get(producer, ()) else 1), name
        for trace in found[name]:
            should, does = wanted(call), told(trace)
            differing = {field for field in should if should[field] != does[field]}
            excused = {field for (of, field), calls in WITHOUT.items() if of == producer and name in calls}
            assert differing <= excused, (name, {field: (does[field], should[field]) for field in differing - excused})


@pytest.mark.parametrize(("producer", "field"), WITHOUT)
def test_what_a_producer_is_said_to_leave_out_it_leaves_out(producer: str, field: str) -> None:
    found = traces_by_call(producer)
    calls = [call for call in SCRIPT if call["name"] in WITHOUT[producer, field]]
    assert any(told(trace)[field] != wanted(call)[field] for call in calls for trace in found[call["name"]])


@pytest.mark.parametrize("producer", PRODUCERS)
def test_both_encodings_tell_the_same(producer: str) -> None:
    assert parts_of(exports(producer)) == parts_of(json_exports(producer))


def test_a_crew_that_tries_again_has_a_trace_a_try_and_none_for_its_steps() -> None:
    found = [
        (trace.conversation_id, trace.response, trace.error is not None) for trace in traces_of(parts_of(exports(CREW)))
    ]
    assert found == [("chat", "Hello.", False), *[("failed", None, True)] * 3]
