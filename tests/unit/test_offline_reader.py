"""Files of traces are read whatever they hold: captured topics, OTLP, payloads; and written as native traces."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.trace import Message, ReportedScores, TokenSource
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.native import decode_trace
from monitor.ingest.outcome import SkipReason
from monitor.offline.decode import native_line
from monitor.offline.reader import FileReader
from tests.hostile import LABELS
from tests.recordings import FOLDER, OTLP, litellm_calls, recorded, script
from tests.traces import line, trace

NOW = datetime(2026, 12, 1, tzinfo=UTC)
LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366), frozenset({"team"}))
PAYLOAD = litellm_calls()["tags"].value or b""
SPANS = {encoding: recorded("otel_latest_span", json_encoded=encoding) for encoding in (True, False)}


def reader_of(said: list[str] | None = None, form: str = "auto") -> FileReader:
    return FileReader(LIMITS, NOW, ([] if said is None else said).append, format=form)


def row(value: bytes | None, **more: Any) -> bytes:
    encoded = None if value is None else base64.b64encode(value).decode()
    return json.dumps({"topic": "t", "key": None, "headers": [], "value": encoded} | more).encode()


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("name", [*OTLP, "litellm_payload"])
def test_every_recording_is_the_ten_calls_once_though_most_stand_there_twice(name: str) -> None:
    said: list[str] = []
    reader = reader_of(said)
    traces = sorted(reader.read([FOLDER / f"{name}.jsonl.gz"]), key=lambda found: found.timestamp)
    assert (len(traces), reader.bad, said) == (10, 0, [])
    assert reader.duplicates >= (0 if name == "litellm_payload" else 10)
    for call, found in zip(script(), traces, strict=True):
        assert (found.error is not None) is call.failed
        assert found.output_tokens == call.output_tokens or call.failed
        if name != "otel_latest_none":
            assert found.messages == tuple(Message(role, content) for role, content in call.messages)
            assert found.response == call.response


@pytest.mark.parametrize("name", [*OTLP, "litellm_payload"])
def test_what_is_written_is_read_by_the_native_format_as_the_same_trace(name: str) -> None:
    for found in reader_of().read([FOLDER / f"{name}.jsonl.gz"]):
        assert decode_trace(native_line(found).encode(), LIMITS, NOW) == found


def test_every_field_of_a_trace_survives_the_native_form() -> None:
    full = trace(
        1,
        messages=tuple(Message("user", text) for text in LABELS.values()),
        cohort={name: text[:512] for name, text in LABELS.items()},
        conversation_id="c",
        reference_response="So.",
        latency_seconds=0.1 + 0.2,
        feedback_rating=-1.0,
        reward_scores=ReportedScores(0.1, 0.2),
        user_id="u",
        tool_calls=2,
        truncated=True,
        timestamp=datetime(2026, 11, 21, 5, 0, 0, 123456, tzinfo=UTC),
    )
    for sound in (full, trace(2), trace(3, response=None, error="e"), trace(4, response=None, finish_reason=None)):
        text = native_line(sound)
        assert text.isascii()
        assert text.isprintable()
        assert decode_trace(text.encode(), LIMITS, NOW) == sound
    counted = trace(5, output_tokens=2, output_tokens_source=TokenSource.WORDS)
    assert "output_tokens" not in native_line(counted)


def pretty(value: bytes) -> bytes:
    return json.dumps(json.loads(value), indent=2).encode()


def lengths(values: Sequence[bytes]) -> bytes:
    """Return *values* as the Collector's file exporter writes protobuf."""
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


JSON_SPANS, PROTO_SPANS = (
    [record.value or b"" for record in SPANS[True]],
    [record.value or b"" for record in SPANS[False]],
)
FILES: dict[str, Callable[[], bytes]] = {
    "OTLP as JSON, a line each": lambda: b"\n".join(JSON_SPANS),
    "OTLP as JSON over many lines": lambda: pretty(JSON_SPANS[0]),
    "OTLP as protobuf": lambda: PROTO_SPANS[0],
    "OTLP as protobuf with lengths": lambda: lengths(PROTO_SPANS * 2),
    "captured rows": lambda: b"\n".join(map(row, PROTO_SPANS)),
    "an array of captured rows": lambda: pretty(b"[" + b",".join(map(row, JSON_SPANS)) + b"]"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_is_known_by_what_it_holds(content: Callable[[], bytes], packed: bool, tmp_path: Path) -> None:
    file = tmp_path / "traces"
    file.write_bytes(gzip.compress(content()) if packed else content())
    reader = reader_of()
    assert len(list(reader.read([file]))) == 10
    assert reader.bad == 0


def test_lines_of_all_kinds_may_stand_in_one_file_and_what_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    native = line(trace(0))
    lines = [native, PAYLOAD, b"", row(line(trace(1))), row(None), row(PAYLOAD), b'{"a": 1}', b"garbage"]
    lines += [row(b"").replace(b'"value": ""', b'"value": "***"'), line(trace(2, cohort={"topic": "a", "value": "b"}))]
    said: list[str] = []
    reader = reader_of(said)
    file = written(tmp_path / "mixed.jsonl", *lines)
    found = [found.trace_id for found in reader.read([file])]
    assert (found[0], found[2:]) == ("t-0", ["t-1", "t-2"])
    assert [each.removeprefix(f"{file}:").split(": ")[:2] for each in said] == [
        ["5", "empty_record"],
        ["6", "duplicate"],
        ["7", "unknown_format"],
        ["8", "not_json"],
        ["9", "wrong_type"],
    ]
    assert (reader.good, reader.bad, reader.duplicates) == (4, 4, 1)


def test_a_header_and_a_time_of_a_captured_row_are_used(tmp_path: Path) -> None:
    bare = json.dumps({"litellm_call_id": "c", "model": "m", "completion_tokens": 3}).encode()
    header = base64.b64encode(b"application/x-protobuf").decode()
    file = written(
        tmp_path / "rows",
        row(bare, timestamp=1_795_000_000_000),
        row(b"no protobuf", headers=[["content-type", header]]),
        row(b"no protobuf", headers={"content-type": header}),
    )
    said: list[str] = []
    reader = reader_of(said)
    assert [found.timestamp for found in reader.read([file])] == [datetime(2026, 11, 18, 11, 6, 40, tzinfo=UTC)]
    assert [each.split(": ")[1] for each in said] == ["not_otlp"] * 2


def test_a_broken_first_line_costs_no_other(tmp_path: Path) -> None:
    said: list[str] = []
    file = written(tmp_path / "broken", b'{"a": [', line(trace(1)), line(trace(2)))
    assert [found.trace_id for found in reader_of(said).read([file])] == ["t-1", "t-2"]
    assert [each.split(": ")[:2] for each in said] == [[f"{file}:1", "not_json"]]


def test_calls_are_joined_across_files(tmp_path: Path) -> None:
    records = recorded("otel_latest_event", json_encoded=True)
    files = [written(tmp_path / f"{number}.json", record.value or b"") for number, record in enumerate(records)]
    traces = list(reader_of().read(reversed(files)))
    assert len(traces) == 10
    assert {found.response for found in traces} == {call.response for call in script()}


def test_a_pinned_format_reads_nothing_else(tmp_path: Path) -> None:
    file = written(tmp_path / "both", line(trace(0)), PAYLOAD)
    reader = reader_of(form="native")
    assert [found.trace_id for found in reader.read([file])] == ["t-0"]
    assert reader.bad == 1


def test_skipped_pieces_are_counted_by_reason() -> None:
    reader = reader_of()
    assert len(list(reader.read([FOLDER.parent / "litellm" / "recorded.jsonl.gz"]))) == reader.good
    assert set(reader.skipped) == {SkipReason.CACHE_HIT, SkipReason.OTHER_SPAN}
