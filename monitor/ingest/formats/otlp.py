"""OTLP as the OpenTelemetry Collector puts it on Kafka: spans and log records, as protobuf or as JSON.

A record holds many spans, of many calls and of what stood around them. What it tells of a
call comes in parts, which are joined afterwards: the span, its events, its parents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b

from msgspec.structs import replace

from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason, check_label, check_part
from monitor.ingest.formats.genai import part_of_line, part_of_span
from monitor.ingest.formats.genai_events import EVALUATION, event_name, read_evaluation
from monitor.ingest.formats.otlp_json import read_json
from monitor.ingest.formats.otlp_proto import read_protobuf
from monitor.ingest.formats.otlp_wire import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    LogLine,
    SpanEvent,
    Telemetry,
    is_identifier,
)
from monitor.ingest.outcome import Carries, Format, Outcome, Skipped, SkipReason
from monitor.ingest.part import Part, PartKind
from monitor.ingest.record import Record
from monitor.ingest.storable import storable

NO_SIGNAL = Skipped(SkipReason.OTHER_SIGNAL)


def decode(record: Record, limits: DecodeLimits, now: datetime) -> list[Outcome]:
    """Read what *record* tells of model calls; no record raises, and every one has an outcome."""
    value = record.value
    if not value:
        return [InvalidTrace(Reason.EMPTY_RECORD, f"value = {value!r}; wanted OTLP")]
    try:
        telemetry = read(value)
        if isinstance(telemetry, InvalidTrace):
            return [telemetry]
        return list(_outcomes(telemetry, limits, now)) or [NO_SIGNAL]
    except RecursionError:
        return [InvalidTrace(Reason.TOO_DEEP, "value is nested too deeply; wanted attributes of a few levels")]


def read(value: bytes) -> Telemetry | InvalidTrace:
    """Read *value* in the encoding that it is in.

    Protobuf begins with a line break, so that JSON behind one is tried last.
    """
    if value[:1] == b"{":
        return read_json(value)
    found = read_protobuf(value)
    if isinstance(found, InvalidTrace) and value.lstrip()[:1] in {b"{", b"["}:
        return read_json(value)
    return found


def _outcomes(telemetry: Telemetry, limits: DecodeLimits, now: datetime) -> Iterator[Outcome]:
    for span in telemetry.spans:
        part = storable(part_of_span(span, limits.label_keys))
        unnamed = _wrong_identifier(span.trace, span.span, span.parent)
        invalid = unnamed or check_part(part, limits)
        if invalid is None:
            yield part
        elif part.kind is not PartKind.CONTEXT:
            yield invalid
        elif unnamed is not None:
            yield Skipped(SkipReason.OTHER_SPAN)
        else:  # still the way from a call to its root
            yield Part(kind=part.kind, trace=part.trace, span=part.span, parent=part.parent)
        for event in span.events:
            if event.name == EVALUATION:
                yield _evaluation(event, span.trace, span.span, limits=limits, now=now)
    for line in telemetry.logs:
        yield _outcome_of_line(line, limits, now)
    for _ in range(telemetry.others):
        yield NO_SIGNAL


def _outcome_of_line(line: LogLine, limits: DecodeLimits, now: datetime) -> Outcome:
    if event_name(line.event) == EVALUATION:
        return _evaluation(line.event, line.trace, line.span, limits=limits, now=now)
    part = part_of_line(line, limits.label_keys)
    if part is None:
        return NO_SIGNAL
    part = storable(part)
    if not line.trace.strip("0") and part.response_id is not None:  # written where no span was: named by its answer
        name = blake2b(
            part.response_id.encode(errors="replace"), digest_size=TRACE_ID_BYTES + SPAN_ID_BYTES
        ).hexdigest()
        part = replace(part, trace=name[: 2 * TRACE_ID_BYTES], span=name[2 * TRACE_ID_BYTES :])
        return check_part(part, limits) or part
    if not line.trace.strip("0") and part.model is None and part.request_model is None:
        return Skipped(SkipReason.UNJOINED)
    return _wrong_identifier(line.trace, line.span, "") or check_part(part, limits) or part


def _evaluation(event: SpanEvent, trace: str, span: str, *, limits: DecodeLimits, now: datetime) -> Outcome:
    label = read_evaluation(event, f"{trace}-{span}")
    if label is None or _wrong_identifier(trace, span, "") is not None:
        return NO_SIGNAL
    return check_label(label, limits, now) or label


def _wrong_identifier(trace: str, span: str, parent: str) -> InvalidTrace | None:
    if _SOUND.fullmatch(f"{trace}:{span}:{parent}") is not None:
        return None
    for name, value, size in (("trace_id", trace, TRACE_ID_BYTES), ("span_id", span, SPAN_ID_BYTES)):
        if not is_identifier(value, size):
            wanted = f"{size} bytes in hexadecimal, not all zero"
            return InvalidTrace(Reason.INVALID_IDENTIFIER, f"{name} = {value[:40]!a}; wanted {wanted}")
    if parent.strip("0") and not is_identifier(parent, SPAN_ID_BYTES):
        return InvalidTrace(Reason.INVALID_IDENTIFIER, f"parent_span_id = {parent[:40]!a}; wanted a span's, or none")
    return None


_SOUND = re.compile("(?!0{32})[0-9a-f]{32}:(?!0{16})[0-9a-f]{16}:(?:[0-9a-f]{16})?")  # as nearly all are
FORMAT = Format({Carries.TRACES: decode})
