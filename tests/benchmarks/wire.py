"""The demo's traffic as OpenTelemetry's collector and LiteLLM write it: their records, with the same texts."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status, TracesData

from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.native import decode_trace
from tests.recordings import litellm_calls


def otlp_records(
    records: Sequence[bytes], limits: DecodeLimits, *, calls: int, as_json: bool = False, now: datetime
) -> Iterator[bytes]:
    """Yield the sound ones of the native *records*, each trace once, *calls* to a record.

    A call is two spans: the request's, which knows the conversation, and the model call's below it.
    """
    data, seen = TracesData(), set[str]()
    spans = _scope(data)
    for record in records:
        trace = decode_trace(record, limits, now)
        if isinstance(trace, InvalidTrace) or trace.trace_id in seen:
            continue
        seen.add(trace.trace_id)
        _put(spans, msgspec.json.decode(record), trace.timestamp)
        if len(spans.spans) == 2 * calls:
            yield _written(data, as_json=as_json)
            data = TracesData()
            spans = _scope(data)
    if spans.spans:
        yield _written(data, as_json=as_json)


def litellm_records(records: Sequence[bytes], limits: DecodeLimits, *, now: datetime) -> Iterator[bytes]:
    """Yield the sound ones of the native *records* as payloads of LiteLLM, after one that was recorded."""
    payload = msgspec.json.decode(litellm_calls()["tags"].value or b"")
    seen = set[str]()
    for record in records:
        trace = decode_trace(record, limits, now)
        if isinstance(trace, InvalidTrace) or trace.trace_id in seen:
            continue
        seen.add(trace.trace_id)
        end = trace.timestamp.timestamp()
        changes: dict[str, Any] = {
            "id": f"chatcmpl-{trace.trace_id}",
            "litellm_call_id": trace.trace_id,
            "trace_id": trace.conversation_id,
            "startTime": end - (trace.latency_seconds or 0.0),
            "endTime": end,
            "model": trace.policy_model,
            "prompt_tokens": trace.input_tokens,
            "completion_tokens": trace.output_tokens,
            "request_tags": [f"{name}:{label}" for name, label in trace.cohort.items()],
            "messages": [{"role": message.role, "content": message.content} for message in trace.messages],
        }
        if trace.error is not None:
            failed = {"error_class": "InternalServerError", "error_message": trace.error, "llm_provider": "openai"}
            changes |= {"status": "failure", "error_str": trace.error, "error_information": failed, "response": {}}
        else:
            choice = {"message": {"role": "assistant", "content": trace.response}, "finish_reason": trace.finish_reason}
            changes["response"] = payload["response"] | {"model": trace.policy_model, "choices": [choice]}
        yield msgspec.json.encode(payload | changes)


def _scope(data: TracesData) -> ScopeSpans:
    resource = data.resource_spans.add()
    resource.resource.attributes.append(_attribute("service.name", "support-assistant"))
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2"
    return scope


def _put(scope: ScopeSpans, trace: Mapping[str, Any], at: datetime) -> None:
    digest = blake2b(trace["trace_id"].encode(), digest_size=32).digest()
    end = int(at.timestamp()) * 1_000_000_000
    start = end - int(trace["latency_seconds"] * 1e9)
    request = {"session.id": trace["conversation_id"], "http.route": "/chat", **trace["cohort"]}
    asked = [{"role": m["role"], "parts": [{"type": "text", "content": m["content"]}]} for m in trace["messages"]]
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": trace["policy_model"],
        "gen_ai.response.model": trace["policy_model"],
        "gen_ai.usage.input_tokens": trace["input_tokens"],
        "gen_ai.input.messages": msgspec.json.encode(asked).decode(),
        **trace["cohort"],
    }
    if trace.get("error"):
        call["error.type"] = "server_error"
    else:
        parts = [{"type": "text", "content": trace["response"]}]
        answer = [{"role": "assistant", "parts": parts, "finish_reason": trace["finish_reason"]}]
        call |= {
            "gen_ai.output.messages": msgspec.json.encode(answer).decode(),
            "gen_ai.usage.output_tokens": trace["output_tokens"],
            "gen_ai.response.finish_reasons": [trace["finish_reason"]],
        }
    for name, own, parent, attributes in (
        ("POST /chat", digest[16:24], b"", request),
        ("chat", digest[24:32], digest[16:24], call),
    ):
        span = scope.spans.add(trace_id=digest[:16], span_id=own, parent_span_id=parent, name=name)
        span.kind = Span.SPAN_KIND_CLIENT if parent else Span.SPAN_KIND_SERVER
        span.start_time_unix_nano, span.end_time_unix_nano = start, end
        span.attributes.extend(_attribute(key, value) for key, value in attributes.items())
        if trace.get("error"):
            span.status.code, span.status.message = Status.STATUS_CODE_ERROR, trace["error"]


def _attribute(key: str, value: object) -> KeyValue:
    if isinstance(value, list):
        return KeyValue(
            key=key, value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=v) for v in value]))
        )
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=str(value)))


def _written(data: TracesData, *, as_json: bool) -> bytes:
    """Return the bytes of the collector's encoding `otlp_proto` or `otlp_json`."""
    if not as_json:
        return data.SerializeToString()
    written = MessageToJson(data, indent=None, use_integers_for_enums=True)
    loaded = msgspec.json.decode(written)
    scopes = [scope for resource in loaded["resourceSpans"] for scope in resource["scopeSpans"]]
    for span in [span for scope in scopes for span in scope["spans"]]:
        for name in {"traceId", "spanId", "parentSpanId"}.intersection(span):
            span[name] = b64decode(span[name]).hex()  # OTLP's JSON writes ids in hexadecimal
    return msgspec.json.encode(loaded)
