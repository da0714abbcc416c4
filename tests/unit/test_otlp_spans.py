"""What spans tell of a call, in the words of each convention; the SDK of OpenTelemetry writes the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openinference.semconv.trace import SpanAttributes as OpenInference
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.semconv_ai import SpanAttributes as OpenLLMetry

from monitor.ingest.part import PartKind
from tests.otlp import END_NS, START_NS, part, span_bytes, span_part

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
LLM = {OpenInference.OPENINFERENCE_SPAN_KIND: "LLM"}
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}]
INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"


def said(*parts: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    return {"role": "assistant", "parts": list(parts), "finish_reason": finish_reason}


def text(content: str, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, "content": content}


@pytest.mark.parametrize(
    ("attributes", "is_call"),
    [
        (CHAT, True),
        ({"gen_ai.operation.name": "text_completion"}, True),
        ({"gen_ai.operation.name": "generate_content"}, True),
        ({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m"}, False),
        ({"gen_ai.operation.name": "execute_tool"}, False),
        ({"gen_ai.operation.name": "invoke_agent", OUTPUT: json.dumps([said(text("Yes."))])}, False),
        ({"gen_ai.operation.name": "my_own", OUTPUT: json.dumps([said(text("Yes."))])}, True),
        ({"gen_ai.operation.name": "my_own"}, False),
        (LLM, True),
        ({OpenInference.OPENINFERENCE_SPAN_KIND: "CHAIN", "output.value": "Yes."}, False),
        ({OpenInference.OPENINFERENCE_SPAN_KIND: "EMBEDDING"}, False),
        ({OpenLLMetry.LLM_REQUEST_TYPE: "chat"}, True),
        ({OpenLLMetry.LLM_REQUEST_TYPE: "embedding", OpenLLMetry.LLM_SYSTEM: "OpenAI"}, False),
        ({OpenLLMetry.LLM_REQUEST_TYPE: "acompletion"}, True),
        ({OpenLLMetry.TRACELOOP_SPAN_KIND: "workflow"}, False),
        ({"gen_ai.system": "x", "gen_ai.request.model": "m", "gen_ai.usage.completion_tokens": 3}, True),
        ({"gen_ai.system": "x", "gen_ai.request.model": "m"}, False),
        ({"gen_ai.response.model": "m", "gen_ai.usage.completion_tokens": 3, "gen_ai.request.id": "r"}, True),
        ({"traceloop.span.kind": "agent", "gen_ai.request.model": "m", "gen_ai.usage.completion_tokens": 3}, False),
        ({"ai.operationId": "ai.streamText.doStream"}, True),
        ({"ai.operationId": "ai.streamText", "gen_ai.system": "x"}, False),
        ({"http.request.method": "GET"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_span_is_a_call_where_it_says_so(attributes: dict[str, Any], is_call: bool) -> None:
    found = span_part(attributes)
    assert found.kind is (PartKind.CALL if is_call else PartKind.CONTEXT)
    assert (found.start_ns, found.end_ns, found.parent) == (START_NS, END_NS, None)


@pytest.mark.parametrize("structured", [False, True], ids=["as JSON", "as structured values"])
def test_messages_of_today_are_read(structured: bool) -> None:
    asked = [
        {"role": "user", "parts": [text("Weather in"), {"type": "uri", "uri": "http://x/y.png"}, text("Oslo?")]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"rain": True}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "2", "response": "4 degrees"}]},
    ]
    answers = [said(text("I wonder.", "reasoning"), text("It rains.")), said(text("No."), finish_reason="length")]
    told: dict[str, Any] = {INPUT: asked, OUTPUT: answers, "gen_ai.system_instructions": [text("Be terse.")]}
    found = span_part(CHAT | {name: value if structured else json.dumps(value) for name, value in told.items()})
    assert found.messages == (
        ("system", "Be terse."),
        ("user", "Weather in\nOslo?"),
        ("assistant", ""),
        ("tool", '{"rain": true}'),
        ("tool", "4 degrees"),
    )
    assert (found.response, found.finish_reason, found.tool_calls, found.truncated) == ("It rains.", "stop", 0, False)


@pytest.mark.parametrize("more", [{}, {"name": "x"}], ids=["plain", "not plain"])
def test_an_empty_first_choice_is_the_answer(more: dict[str, str]) -> None:
    answers = [said(text("")) | more, said(text("Another."))]
    assert span_part(CHAT | {OUTPUT: json.dumps(answers)}).response is None


def test_openllmetry_s_stream_of_responses_that_failed_is_a_call() -> None:
    found = span_part({"gen_ai.request.model": "m", "gen_ai.is_streaming": True}, error="it broke")
    assert (found.kind, found.error) == (PartKind.CALL, "it broke")


def test_thoughts_told_as_a_message_of_their_own_are_not_the_answer() -> None:
    answers = [said(text("I wonder.", "reasoning")), said(text("It rains."))]
    assert span_part(CHAT | {OUTPUT: json.dumps(answers)}).response == "It rains."


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("Yes.", "Yes."),
        ("", None),
        (" \n", None),
        (None, None),
        ([{"type": "text", "text": "Yes."}, {"type": "thinking", "thinking": "Hm."}], "Yes."),
        ([{"type": "refusal", "refusal": "I can't."}], "I can't."),
        ([{"text": "Yes."}], "Yes."),
        ("__REDACTED__", None),
        ("<redacted>", None),
        ("redacted-by-litellm", None),
        ("[REDACTED] is what he said", "[REDACTED] is what he said"),
    ],
    ids=str,
)
def test_an_answer_is_its_text(content: Any, read: str | None) -> None:
    found = span_part(CHAT | {OUTPUT: json.dumps([{"role": "assistant", "content": content}])})
    assert found.response == read
    assert not found.truncated


@pytest.mark.parametrize(
    ("told", "finish_reason"),
    [
        ({"gen_ai.response.finish_reasons": ["stop", "length"]}, "stop"),
        ({"gen_ai.response.finish_reasons": '["tool_calls"]'}, "tool_calls"),
        ({"gen_ai.response.finish_reasons": "length"}, "length"),
        ({"gen_ai.response.finish_reasons": []}, None),
        ({"gen_ai.completion.0.finish_reason": "stop"}, "stop"),
        ({OUTPUT: json.dumps([said(finish_reason="content_filter")])}, "content_filter"),
    ],
    ids=str,
)
def test_the_first_choice_s_finish_reason_is_kept_as_it_was_written(told: Any, finish_reason: str | None) -> None:
    assert span_part(CHAT | told).finish_reason == finish_reason


@pytest.mark.parametrize(
    "prefixes", [(OpenLLMetry.LLM_PROMPTS, OpenLLMetry.LLM_COMPLETIONS), ("llm.prompts", "llm.completions")]
)
def test_openllmetry_s_numbered_messages_are_read_in_the_order_of_their_numbers(prefixes: tuple[str, str]) -> None:
    asked, answered = prefixes
    parts = json.dumps([{"type": "text", "text": "last"}, {"type": "image_url", "image_url": {"url": "x"}}])
    found = span_part(
        {
            OpenLLMetry.LLM_REQUEST_TYPE: "chat",
            OpenLLMetry.LLM_SYSTEM: "OpenAI",
            OpenLLMetry.LLM_REQUEST_MODEL: "m",
            OpenLLMetry.LLM_RESPONSE_MODEL: "m-1",
            f"{asked}.10.role": "user",
            f"{asked}.10.content": parts,
            **{f"{asked}.{number}.role": "user" for number in range(10)},
            **{f"{asked}.{number}.content": f"[{number}]" for number in range(10)},
            f"{answered}.0.finish_reason": "tool_calls",
            f"{answered}.0.role": "assistant",
            f"{answered}.0.content": "Let me see.",
            f"{answered}.0.tool_calls.0.name": "a",
            f"{answered}.0.tool_calls.1.name": "b",
            f"{answered}.1.content": "Another choice.",
            OpenLLMetry.LLM_USAGE_PROMPT_TOKENS: 20,
            OpenLLMetry.LLM_USAGE_COMPLETION_TOKENS: 4,
        }
    )
    assert found.messages == (*(("user", f"[{number}]") for number in range(10)), ("user", "last"))
    assert (found.response, found.finish_reason, found.tool_calls) == ("Let me see.", "tool_calls", 2)
    assert (found.model, found.request_model, found.input_tokens, found.output_tokens) == ("m-1", "m", 20, 4)


def test_all_messages_in_one_attribute_are_read() -> None:
    asked, answered = (
        {"messages": [{"role": "user", "content": "Hi?"}]},
        {"choices": [{"message": {"content": "Yes."}}]},
    )
    found = span_part(CHAT | {"gen_ai.prompt": json.dumps(asked), "gen_ai.completion": json.dumps(answered)})
    assert (found.messages, found.response) == ((("user", "Hi?"),), "Yes.")


def test_litellm_tells_calls_of_tools_beside_its_messages() -> None:
    told = CHAT | {OUTPUT: json.dumps([said(text("Let me see."), finish_reason="tool_calls")])}
    called = {f"gen_ai.completion.{number}.function_call.name": "weather" for number in range(2)}
    assert ((found := span_part(told | called)).response, found.tool_calls) == ("Let me see.", 2)


def test_openinference_s_completions_and_parts_are_read() -> None:
    completion = {
        f"{OpenInference.LLM_PROMPTS}.0.prompt.text": "Once",
        f"{OpenInference.LLM_CHOICES}.0.completion.text": "upon.",
    }
    assert (found := span_part(LLM | completion)).messages == (("user", "Once"),)
    assert found.response == "upon."
    message = f"{OpenInference.LLM_OUTPUT_MESSAGES}.0.message"
    parts = {
        f"{message}.contents.0.message_content.type": "reasoning",
        f"{message}.contents.0.message_content.text": "Hm.",
        f"{message}.contents.1.message_content.type": "text",
        f"{message}.contents.1.message_content.text": "Yes.",
    }
    assert span_part(LLM | parts).response == "Yes."


def test_openinference_s_items_of_one_response_are_one_answer_and_choices_are_not() -> None:
    message = f"{OpenInference.LLM_OUTPUT_MESSAGES}.%d.message"
    thought = {f"{message % 0}.contents.0.message_content.{key}": key for key in ("text", "reasoning")}
    thought[f"{message % 0}.contents.0.message_content.type"] = "reasoning"
    items = {
        f"{message % 1}.content": "Let me see.",
        f"{message % 2}.tool_calls.0.tool_call.function.name": "weather",
        f"{message % 3}.tool_calls.0.tool_call.function.name": "weather",
    }
    assert ((found := span_part(LLM | thought | items)).response, found.tool_calls) == ("Let me see.", 2)
    choices = {f"{message % number}.content": text for number, text in enumerate(("First.", "Second."))}
    choices[f"{message % 1}.tool_calls.0.tool_call.function.name"] = "weather"
    assert ((found := span_part(LLM | choices)).response, found.tool_calls) == ("First.", 0)


def test_the_items_of_openai_s_responses_are_read() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "name": "weather", "arguments": "{}"},
    ]
    found = span_part(LLM | {"output.value": json.dumps({"object": "response", "output": output})})
    assert (found.response, found.tool_calls) == ("Let me see.", 1)


@pytest.mark.parametrize(
    ("response", "ended", "error"),
    [
        ({"status": "completed", "incomplete_details": None}, "completed", None),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens", None),
        ({"status": "failed", "incomplete_details": None, "error": {"message": "it broke"}}, "failed", "it broke"),
    ],
    ids=["whole", "cut", "failed"],
)
def test_one_of_openai_s_responses_tells_how_it_ended(response: Any, ended: str, error: str | None) -> None:
    found = span_part(LLM | {"llm.model_name": "m", "output.value": json.dumps(response | {"output": []})})
    assert (found.finish_reason, found.error) == (ended, error)


@pytest.mark.parametrize(
    "told",
    [
        {"input.value": '{"model": "m", "input": "a text"}', "output.value": '{"id": "1", "results": []}'},
        {"input.value": '{"model": "m", "prompt": "a cat"}', "output.value": '{"created": 1, "data": []}'},
        {"input.value": "{}", "output.value": '{"data": [], "object": "list"}'},
        {"input.value": '{"model": "m", "input": "a text"}'},
        {"input.value": "__REDACTED__", "output.value": "__REDACTED__"},
    ],
    ids=["moderation", "a picture", "a list of models", "moderation that failed", "hidden moderation"],
)
def test_openinference_s_kind_alone_makes_no_call(told: dict[str, str]) -> None:
    assert span_part(LLM | told | {"llm.system": "openai"}).kind is PartKind.CONTEXT


def test_a_picture_that_litellm_drew_is_no_call() -> None:
    drawn = span_bytes(LLM | {"llm.model_name": "m", "input.value": "a cat", "output.value": "http://x/p.png"})
    assert part(drawn).kind is PartKind.CALL
    request = ExportTraceServiceRequest.FromString(drawn)
    request.resource_spans[0].scope_spans[0].spans[0].name = "aimage_generation"
    assert part(request.SerializeToString()).kind is PartKind.CONTEXT


def test_a_refusal_that_litellm_moved_beside_the_answer_is_the_answer() -> None:
    message = {"role": "assistant", "content": None, "provider_specific_fields": {"refusal": "I can't."}}
    told = {"output.value": json.dumps({"choices": [{"finish_reason": "stop", "message": message}]})}
    assert span_part(LLM | told).response == "I can't."


def test_a_response_that_is_no_json_is_not_its_answer_where_a_message_is_told() -> None:
    told = {"llm.output_messages.0.message.role": "assistant", "output.value": "ChatCompletion(id='1', choices=[])"}
    assert span_part(LLM | told).response is None


def test_openinference_s_whole_request_and_response_serve_where_no_message_is_told() -> None:
    request = {"model": "m", "instructions": "Be terse.", "input": [{"role": "user", "content": "Hi?"}]}
    response = {"choices": [{"message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]}
    found = span_part(LLM | {"input.value": json.dumps(request), "output.value": json.dumps(response)})
    assert found.messages == (("system", "Be terse."), ("user", "Hi?"))
    assert (found.response, found.finish_reason, found.request_model) == ("Yes.", "stop", "m")
    completion = {"choices": [{"text": "upon a time.", "finish_reason": "length"}]}
    found = span_part(LLM | {"input.value": json.dumps({"prompt": "Once"}), "output.value": json.dumps(completion)})
    assert (found.messages, found.response, found.finish_reason) == ((("user", "Once"),), "upon a time.", "length")
    plain = span_part(LLM | {"input.value": "Hi?", "output.value": "Yes."})
    assert (plain.messages, plain.response) == ((("user", "Hi?"),), "Yes.")


def test_vercel_s_model_calls_are_read() -> None:
    found = span_part(
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.id": "m",
            "ai.prompt.messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": "Hi?"}]}]),
            "ai.response.text": "Yes.",
            "ai.response.toolCalls": json.dumps([{"toolCallId": "1", "toolName": "weather", "input": "{}"}]),
            "ai.response.finishReason": "tool-calls",
            "ai.response.model": "m-1",
            "ai.usage.promptTokens": 3,
            "ai.usage.completionTokens": 2,
            "ai.telemetry.metadata.userId": "u-1",
            "ai.telemetry.metadata.team": "shop",
        }
    )
    assert (found.messages, found.response, found.tool_calls) == ((("user", "Hi?"),), "Yes.", 1)
    assert (found.finish_reason, found.model, found.input_tokens, found.output_tokens) == ("tool-calls", "m-1", 3, 2)
    assert (found.user_id, found.labels) == ("u-1", {"team": "shop"})


@pytest.mark.parametrize("usage", [{"input": 3, "output": 2}, {"prompt_tokens": 3, "completion_tokens": 2}], ids=str)
def test_langfuse_s_generations_are_read(usage: dict[str, int]) -> None:
    told = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "m",
        "langfuse.observation.input": json.dumps([{"role": "user", "content": "Hi?"}]),
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Yes."}),
        "langfuse.observation.usage_details": json.dumps(usage),
    }
    found = span_part(told)
    assert (found.messages, found.response, found.request_model) == ((("user", "Hi?"),), "Yes.", "m")
    assert (found.input_tokens, found.output_tokens) == (3, 2)
    assert span_part(told | {"langfuse.observation.type": "agent"}).kind is PartKind.CONTEXT


DETAILS = {INPUT: json.dumps(ASKED), OUTPUT: json.dumps([said(text("Yes."))])}
PROMPT, COMPLETION = "gen_ai.content.prompt", "gen_ai.content.completion"


@pytest.mark.parametrize(
    "events",
    [
        {PROMPT: {"gen_ai.prompt": '[{"content": "Hi?"}]'}, COMPLETION: {"gen_ai.completion": '[{"content": "Yes."}]'}},
        {PROMPT: {"gen_ai.prompt": "Hi?"}, COMPLETION: {"gen_ai.completion": "Yes."}},
        {
            "gen_ai.user.message": {"gen_ai.event.content": '{"role": "user", "content": "Hi?"}'},
            "gen_ai.choice": {"gen_ai.event.content": '{"message": {"content": "Yes."}, "index": 0}'},
        },
        {
            "gen_ai.user.message": {"content": '[{"text": "Hi?"}]'},
            "gen_ai.choice": {"message": '[{"text": "Yes."}]', "finish_reason": "end_turn"},
        },
        {"gen_ai.client.inference.operation.details": DETAILS},
    ],
    ids=["whole messages", "plain texts", "in one attribute", "in attributes", "details"],
)
def test_a_span_s_own_events_bring_its_texts(events: dict[str, dict[str, Any]]) -> None:
    chunks: dict[str, dict[str, Any]] = {"gen_ai.content.completion.chunk": {}, "First Token Stream Event": {}}
    found = span_part(CHAT, events=list((chunks | events).items()))
    assert (found.messages, found.response) == ((("user", "Hi?"),), "Yes.")


def test_a_limit_on_the_length_of_attributes_cuts_texts_and_is_seen() -> None:
    long = "The river turned. " * 40
    limits = SpanLimits(max_span_attribute_length=200)
    messages = {INPUT: json.dumps([{"role": "user", "content": long}]), OUTPUT: json.dumps([said(text(long))])}
    for attributes in (
        CHAT | messages,
        LLM | {"llm.input_messages.0.message.content": "Q: " + long, "llm.output_messages.0.message.content": long},
        CHAT | {"gen_ai.prompt.0.content": "Q: " + long, "gen_ai.completion.0.content": long},
    ):
        whole, cut = span_part(attributes), span_part(attributes, limits=limits)
        assert (whole.truncated, whole.response) == (False, long)
        assert cut.truncated
        assert cut.response
        assert long.startswith(cut.response)
        assert cut.messages[0][1].removeprefix("Q: ") in long
    short = span_part(CHAT | {"gen_ai.prompt.0.content": "Hi?", "gen_ai.completion.0.content": "Yes."}, limits=limits)
    assert not short.truncated


def test_messages_that_a_limit_on_the_number_of_attributes_dropped_are_missed() -> None:
    told = {f"gen_ai.prompt.{number}.content": f"Message {number}." for number in range(20)}
    found = span_part(CHAT | told | {"gen_ai.completion.0.content": "Yes."}, limits=SpanLimits(max_span_attributes=10))
    assert (found.kind, found.truncated, found.response) == (PartKind.CALL, True, "Yes.")
    assert found.messages == tuple(("user", f"Message {number}.") for number in range(11, 20))
    whole = span_part(CHAT | told | {"gen_ai.completion.0.content": "Yes."})
    assert (whole.truncated, len(whole.messages)) == (False, 20)


@pytest.mark.parametrize(
    ("attributes", "events", "status", "error"),
    [
        ({}, [], "it broke", "it broke"),
        ({}, [], "", "the span's status is ERROR"),
        ({"error.type": "timeout"}, [], None, "timeout"),
        ({"error.type": "timeout", "error.message": "took 30 s"}, [], "", "took 30 s"),
        ({}, [("exception", {"exception.type": "Broken", "exception.message": "in two"})], "", "in two"),
        ({}, [("exception", {"exception.type": "Retried"})], None, None),
        ({}, [], "x" * 20_000, "x" * 10_000),
        ({}, [], None, None),
    ],
)
def test_a_failed_call_tells_its_error(attributes: Any, events: Any, status: str | None, error: str | None) -> None:
    assert span_part(CHAT | attributes, events=events, error=status).error == error


@pytest.mark.parametrize(
    ("value", "read"),
    [(12, 12), ("12", 12), (12.0, 12), (0, 0), (-1, None), ("many", None), (10**12, None), (True, None)],
)
def test_token_counts_are_counts(value: Any, read: int | None) -> None:
    assert span_part(CHAT | {"gen_ai.usage.output_tokens": value}).output_tokens == read


def test_no_tokens_beside_a_text_mean_that_nobody_counted() -> None:
    tokens = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    told = span_part(CHAT | tokens | {INPUT: json.dumps(ASKED), OUTPUT: json.dumps([said(text("Yes."))])})
    assert (told.input_tokens, told.output_tokens) == (None, None)
    untold = span_part(CHAT | tokens)
    assert (untold.input_tokens, untold.output_tokens) == (0, 0)


def test_cached_tokens_are_read_from_the_usage_that_litellm_shows() -> None:
    usage = str({"prompt_tokens": 2000, "prompt_tokens_details": {"audio_tokens": None, "cached_tokens": 1920}})
    assert span_part(CHAT | {"metadata.usage_object": usage}).cached_input_tokens == 1920
    told = {"metadata.usage_object": usage, "gen_ai.usage.cache_read.input_tokens": 0}
    assert span_part(CHAT | told).cached_input_tokens == 0


def test_an_answer_from_a_cache_is_told_where_the_producer_says_so() -> None:
    assert [span_part(CHAT | {"litellm.cache_hit": told}).cached for told in (True, "True", False, "")] == [
        True,
        True,
        False,
        False,
    ]
    assert not span_part(CHAT).cached
