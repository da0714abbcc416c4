"""A record says by its content, or by a header, which format it is in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.trace import Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason
from monitor.ingest.outcome import Carries, Outcome
from monitor.ingest.record import Record
from monitor.ingest.route import Route, decoder_of
from tests.recordings import litellm_calls
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
    for known in ("native", "LiteLLM"):
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
