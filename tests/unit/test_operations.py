"""How calls were served: what producers report, in the recordings and in their documented words, and what it costs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from monitor.domain.trace import Message, TokenSource, Trace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats import litellm, native
from monitor.ingest.formats.genai import part_of_span
from monitor.ingest.formats.otlp import decode
from monitor.ingest.formats.otlp_wire import Attributes, Span, SpanEvent
from monitor.ingest.part import Part
from monitor.ingest.record import Record
from monitor.offline.decode import native_line
from monitor.signals.cost import Price, cost_observer
from monitor.signals.operations import OPERATIONS
from tests.recordings import recorded
from tests.traces import START, trace

LIMITS = DecodeLimits(100_000, 100_000, timedelta(days=1))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
OBSERVERS = {signal.name: observe for signal, observe in OPERATIONS.items()}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def seen(signal: str, **changes: Any) -> float | None:
    found = OBSERVERS[signal](trace(**changes))
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("signal", "changes", "value"),
    [
        ("latency", {"latency_seconds": 1.5}, 1500.0),
        ("latency", {}, None),
        ("latency", {"latency_seconds": 30.0, "error": "timed out"}, None),
        ("first_token_latency", {"first_token_seconds": 0.25}, 250.0),
        ("first_token_latency", {"latency_seconds": 1.5}, None),
        ("cache_share", {"cached_input_tokens": 3, "input_tokens": 12}, 0.25),
        ("cache_share", {"cached_input_tokens": 30, "input_tokens": 12}, 1.0),
        ("cache_share", {"cached_input_tokens": 0, "input_tokens": 12}, 0.0),
        ("cache_share", {"input_tokens": 12}, None),
        ("cache_share", {"cached_input_tokens": 0, "input_tokens": 0}, None),
    ],
)
def test_what_is_reported_is_observed(signal: str, changes: dict[str, object], value: float | None) -> None:
    assert seen(signal, **changes) == value


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("Error: no such city", 1.0),
        ("Traceback (most recent call last):\n  File", 1.0),
        ('{"error": "no such city"}', 1.0),
        ('{"content": "no such city", "isError": true}', 1.0),
        ('{"status": "error", "message": "x"}', 1.0),
        ("HTTP 503 Service Unavailable", 1.0),
        ('{"error": null, "temperature": 7}', 0.0),
        ('{"temperature": 7, "success": true}', 0.0),
        ("It is 7 degrees; the error of the sensor is 0.1.", 0.0),
        ("", 0.0),
    ],
)
def test_a_tool_s_result_is_an_error_or_not(result: str, value: float) -> None:
    asked = (Message("user", "How warm is it?"), Message("assistant", ""), Message("tool", result))
    assert seen("tool_failure", messages=asked) == value
    assert seen("tool_failure", messages=(*asked, Message("tool", "7 degrees"))) == value


def test_a_call_without_fresh_results_of_tools_says_nothing() -> None:
    earlier = (Message("tool", "Error: no such city"), Message("assistant", "Sorry."), Message("user", "And Oslo?"))
    assert seen("tool_failure", messages=earlier) is None


PRICES = (Price("gpt-4o-mini*", 0.15, 0.6, 0.075), Price("gpt-4o*", 2.5, 10.0))


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({"policy_model": "gpt-4o-2024-08-06"}, 1000 * 2.5 + 100 * 10.0),
        ({"policy_model": "gpt-4o-2024-08-06", "cached_input_tokens": 400}, 1000 * 2.5 + 100 * 10.0),
        ({"policy_model": "gpt-4o-mini", "cached_input_tokens": 400}, 600 * 0.15 + 400 * 0.075 + 100 * 0.6),
        ({"policy_model": "gpt-4o-mini", "output_tokens_source": TokenSource.WORDS}, None),
        ({"policy_model": "gpt-4o-mini", "input_tokens": None}, None),
    ],
)
def test_a_call_costs_what_the_first_price_that_fits_says(changes: dict[str, Any], cost: float | None) -> None:
    usual: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 100}
    found = cost_observer(PRICES)(trace(**usual | changes))
    assert (None if found is None else found.value) == (cost if cost is None else pytest.approx(cost))


def test_a_model_without_a_price_is_named_once_and_not_observed() -> None:
    unknown: list[str] = []
    observe = cost_observer(PRICES, unknown.append)
    assert [observe(trace(number, policy_model="phi-2")) for number in range(3)] == [None] * 3
    assert unknown == ["phi-2"]


def test_other_prices_are_another_version() -> None:
    versions = {cost_observer((price,))(trace(policy_model="gpt-4o")) for price in (PRICES[1], Price("gpt-4o*", 5, 15))}
    assert len({found.scorer_version for found in versions if found is not None}) == 2


def part_of(attributes: Attributes, *events: SpanEvent) -> Part:
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"} | attributes
    span = Span("1" * 32, "2" * 16, "", "chat", 10**9, 3 * 10**9, told, {}, list(events), False, "", 0)
    return part_of_span(span, frozenset())


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.5}, 0.5),
        ({"gen_ai.latency.time_to_first_token": 0.5}, 0.5),
        ({"ai.response.msToFirstChunk": 500}, 0.5),
        ({"langfuse.observation.completion_start_time": '"1970-01-01T00:00:01.500Z"'}, 0.5),
        ({"gen_ai.response.time_to_first_chunk": 5.0}, None),
        ({"gen_ai.response.time_to_first_chunk": "soon"}, None),
        ({"langfuse.observation.completion_start_time": "soon"}, None),
        ({}, None),
    ],
)
def test_spans_tell_when_the_first_token_came(attributes: Attributes, seconds: float | None) -> None:
    found = part_of(attributes).first_token_seconds
    assert found == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("json_encoded", [False, True])
def test_openinference_s_first_token_of_the_streamed_call_is_read(json_encoded: bool) -> None:
    records = recorded("openinference", json_encoded=json_encoded)
    parts = [each for record in records for each in decode(record, LIMITS, NOW) if isinstance(each, Part)]
    streamed = [part for part in parts if part.first_token_seconds is not None]
    assert len(streamed) == 1
    (part,) = streamed
    assert part.start_ns is not None
    assert part.end_ns is not None
    assert 0 < (part.first_token_seconds or 0) <= (part.end_ns - part.start_ns) / 1e9


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"gen_ai.output.type": "json"}, ("json", None)),
        ({"gen_ai.output.type": "speech"}, ("speech", None)),
        ({"gen_ai.openai.request.response_format": "json_schema"}, ("json", None)),
        ({"gen_ai.request.structured_output_schema": json.dumps(SCHEMA)}, ("json", SCHEMA)),
        ({"llm.invocation_parameters": json.dumps({"response_format": {"type": "json_object"}})}, ("json", None)),
        ({"gen_ai.output.type": 7}, (None, None)),
        ({"gen_ai.request.structured_output_schema": "{" + " " * 20_001}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_spans_tell_what_form_was_asked_for(attributes: Attributes, wanted: tuple[str | None, Any]) -> None:
    part = part_of(attributes)
    schema = None if part.output_schema is None else json.loads(part.output_schema)
    assert (part.output_type, schema) == wanted


@pytest.mark.parametrize("name", ["gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"])
def test_spans_tell_how_much_of_the_prompt_was_cached(name: str) -> None:
    assert part_of({name: 7}).cached_input_tokens == 7


def payload(**changes: object) -> Trace:
    usual = {
        "litellm_call_id": "c", "call_type": "acompletion", "status": "success", "model": "m", "stream": True,
        "startTime": 1795247744.0, "completionStartTime": 1795247744.5, "endTime": 1795247745.0,
        "prompt_tokens": 12, "completion_tokens": 3, "messages": [{"role": "user", "content": "Q?"}],
        "response": {"choices": [{"message": {"content": "A."}, "finish_reason": "stop"}]},
    }  # fmt: skip
    record = Record("t", 0, 0, None, json.dumps(usual | changes).encode())
    (found,) = litellm.decode_traces(record, LIMITS, NOW)
    assert isinstance(found, Trace), found
    return found


def test_litellm_tells_the_first_token_of_a_streamed_answer_alone() -> None:
    assert payload().first_token_seconds == pytest.approx(0.5)
    assert payload(stream=None).first_token_seconds is None
    assert payload(completionStartTime=1795247799.0).first_token_seconds is None
    assert payload(completionStartTime={"at": 1}).first_token_seconds is None
    times = {"startTime": "2026-11-21T07:00:00", "completionStartTime": "2026-11-21T07:00:00.250000"}
    assert payload(endTime="2026-11-21T07:00:01", **times).first_token_seconds == pytest.approx(0.25)


def test_litellm_tells_what_was_cached_and_what_was_asked_for() -> None:
    usage = {"prompt_tokens_details": {"cached_tokens": 8}}
    assert payload(metadata={"usage_object": usage}).cached_input_tokens == 8
    response = {"choices": [{"message": {"content": "{}"}}], "usage": usage}
    assert payload(response=response).cached_input_tokens == 8
    assert payload(metadata={"usage_object": {"prompt_tokens_details": None}}).cached_input_tokens is None
    form = {"type": "json_schema", "json_schema": {"name": "town", "schema": SCHEMA}}
    asked = payload(model_parameters={"response_format": form})
    assert asked.output_type == "json"
    assert json.loads(asked.output_schema or "") == SCHEMA
    spoken = payload(model_parameters={"text": {"format": {"type": "json_schema", "schema": SCHEMA}}})
    assert spoken.output_schema == asked.output_schema
    assert payload(model_parameters={"response_format": {"type": "text"}}).output_type == "text"


def test_a_native_trace_tells_all_of_it_and_is_written_so() -> None:
    served = structs.replace(
        trace(), first_token_seconds=0.25, cached_input_tokens=7, output_type="json", output_schema=json.dumps(SCHEMA)
    )
    assert native.decode_trace(native_line(served).encode(), LIMITS, START) == served
    given = json.loads(native_line(served)) | {"output_schema": SCHEMA}
    read = native.decode_trace(json.dumps(given).encode(), LIMITS, START)
    assert isinstance(read, Trace)
    assert json.loads(read.output_schema or "") == SCHEMA
