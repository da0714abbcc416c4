"""A record says by its content, or by a header, which format it is in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from monitor.domain.trace import Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason
from monitor.ingest.formats import litellm, native
from monitor.ingest.outcome import Carries, Outcome, Skipped, SkipReason
from monitor.ingest.part import Part
from monitor.ingest.record import Record
from monitor.ingest.route import Route, decoder_of
from tests.recordings import OTLP, litellm_calls, recorded
from tests.traces import line, trace

NOW = datetime(2026, 12, 1, tzinfo=UTC)
LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366), frozenset({"team"}))
NATIVE = line(trace(1))
LITELLM = litellm_calls()["tags"].value or b""


def outcomes(value: bytes | None, form: str = "auto", **headers: bytes) -> list[Outcome]:
    named = tuple((name.replace("_", "-"), header) for name, header in headers.items())
    record = Record("t", 0, 0, None, value, named, timestamp_ms=1_795_000_000_000)
    return list(decoder_of(Route("t", Carries.TRACES, form))(record, LIMITS, NOW))


@pytest.mark.parametrize(
    ("value", "form"),
    [(NATIVE, "native"), (b" \n" + NATIVE, "native"), (LITELLM, "litellm"), (b"\n" + LITELLM, "litellm")],
)
def test_a_record_is_read_as_its_own_format_reads_it(value: bytes, form: str) -> None:
    found = outcomes(value)
    assert found == outcomes(value, form)
    assert isinstance(found[0], Trace)


@pytest.mark.parametrize("name", OTLP)
def test_otlp_is_known_in_either_encoding(name: str) -> None:
    for record in (*recorded(name, json_encoded=True), *recorded(name, json_encoded=False)):
        found = outcomes(record.value)
        assert found == outcomes(record.value, "otlp")
        assert any(isinstance(outcome, Part) for outcome in found)
        pretty = (
            json.dumps(json.loads(record.value or b""), indent=1).encode() if record.topic.endswith("json") else None
        )
        assert pretty is None or outcomes(b"\n" + pretty) == found


def test_protobuf_whose_length_looks_like_a_brace_is_protobuf() -> None:
    attributes = [KeyValue(key="service.name", value=AnyValue(string_value="x" * size)) for size in (20, 40)]
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=Resource(attributes=attributes), schema_url="u" * 19)]
    )
    value = request.SerializeToString()
    assert value[:2] == b"\n{"
    assert outcomes(value) == outcomes(value, "otlp") == [Skipped(SkipReason.OTHER_SIGNAL)]


def test_a_header_says_what_the_bytes_may_leave_open() -> None:
    (invalid,) = outcomes(b"plain text", content_type=b"application/x-protobuf")
    assert isinstance(invalid, InvalidTrace)
    assert invalid.reason == Reason.NOT_OTLP
    (invalid,) = outcomes(b"plain text", content_type=b"application/json")
    assert isinstance(invalid, InvalidTrace)
    assert invalid.reason == Reason.NOT_JSON


def test_an_array_and_lines_may_hold_both() -> None:
    both = [*outcomes(NATIVE), *outcomes(LITELLM)]
    assert outcomes(b"[" + NATIVE + b", " + LITELLM + b"]") == both
    assert outcomes(NATIVE.strip() + b"\r\n\n" + LITELLM + b"\n") == both


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"policy_model": None}, "policy_model"), ({"timestamp": "soon"}, "timestamp"), ({"response": " "}, "response")],
)
def test_a_bad_native_trace_is_told_as_one(changes: dict[str, object], named: str) -> None:
    value = json.dumps(json.loads(NATIVE) | changes).encode()
    (invalid,) = outcomes(value)
    assert [invalid] == outcomes(value, "native")
    assert isinstance(invalid, InvalidTrace)
    assert named in invalid.detail


def test_a_bad_payload_of_litellm_is_told_as_one() -> None:
    value = json.dumps(json.loads(LITELLM) | {"messages": 7}).encode()
    (invalid,) = outcomes(value)
    assert [invalid] == outcomes(value, "litellm")
    assert isinstance(invalid, InvalidTrace)
    assert "messages = 7" not in invalid.detail  # a prompt is never quoted
    assert "messages" in invalid.detail


def test_an_object_of_no_known_format_is_told_with_its_fields_and_the_formats() -> None:
    (invalid,) = outcomes(json.dumps({f"f{number}": number for number in range(10)}).encode())
    assert isinstance(invalid, InvalidTrace)
    assert invalid.reason == Reason.UNKNOWN_FORMAT
    assert "'f0', 'f1'" in invalid.detail
    assert "and 2 more" in invalid.detail
    for known in ("native", "LiteLLM", "OTLP"):
        assert known in invalid.detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY_RECORD),
        (b"", Reason.EMPTY_RECORD),
        (b"{}", Reason.UNKNOWN_FORMAT),
        (b"[]", Reason.WRONG_TYPE),
        (b"7", Reason.WRONG_TYPE),
        (b"plain text", Reason.NOT_JSON),
        (b'{"trace_id": "a"', Reason.NOT_JSON),
        (b"\xff\xfe{}", Reason.NOT_UTF8),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Reason.TOO_DEEP),
        (b"[" * 100_000 + b"]" * 100_000, Reason.WRONG_TYPE),
    ],
)
def test_what_is_no_object_says_so(value: bytes | None, reason: Reason) -> None:
    (invalid,) = outcomes(value)
    assert isinstance(invalid, InvalidTrace)
    assert invalid.reason == reason


@pytest.mark.parametrize(("value", "form"), [(NATIVE, "native"), (LITELLM, "litellm")], ids=["native", "litellm"])
def test_a_sound_trace_is_looked_at_as_its_own_format_alone(
    monkeypatch: pytest.MonkeyPatch, value: bytes, form: str
) -> None:
    tried: list[str] = []
    for name, module, function in (("native", native, "decode_trace"), ("litellm", litellm, "decode_payload")):
        decode = getattr(module, function)

        def told(*given: object, name: str = name, decode: Callable[..., Outcome] = decode) -> Outcome:
            tried.append(name)
            return decode(*given)

        monkeypatch.setattr(module, function, told)
    assert isinstance(outcomes(value)[0], Trace)
    assert tried == [form]


def test_a_native_trace_that_quotes_a_payload_is_native_and_a_payload_that_quotes_a_trace_is_a_payload() -> None:
    quoting = line(trace(1), litellm_call_id="x", response='"litellm_call_id"')
    assert outcomes(quoting) == outcomes(quoting, "native")
    payload = json.loads(LITELLM) | {"metadata": {"policy_model": "x"}}
    quoted = json.dumps(payload).encode()
    assert outcomes(quoted) == outcomes(quoted, "litellm")
