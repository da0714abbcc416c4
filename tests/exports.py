"""What instrumented clients of many providers exported of the calls of `data/producers/script.json`."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.domain.trace import Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.otlp import decode
from monitor.ingest.join import JoinRules
from monitor.ingest.join_call import Held
from monitor.ingest.part import Part
from monitor.ingest.record import Record
from tests.joining import Replay

FOLDER = Path(__file__).parent / "data" / "producers"
LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=10_000))
NOW = datetime(2026, 12, 1, tzinfo=UTC)
_IDENTIFIERS = {"traceId", "spanId", "parentSpanId"}


def exports(producer: str) -> Iterator[bytes]:
    """Yield each export as protobuf; in its file it stands after its length."""
    whole = gzip.decompress((FOLDER / f"{producer}.pb.gz").read_bytes())
    while whole:
        end = 4 + int.from_bytes(whole[:4], "big")
        yield whole[4:end]
        whole = whole[end:]


def json_exports(producer: str) -> Iterator[bytes]:
    """Yield each export as the OpenTelemetry Collector writes it in JSON: with identifiers in hexadecimal."""
    kinds: tuple[Any, ...] = ExportTraceServiceRequest, ExportLogsServiceRequest  # in this order in the file
    for kind, export in zip(kinds, exports(producer), strict=False):
        message = MessageToDict(kind.FromString(export), use_integers_for_enums=True)
        yield json.dumps(_in_hexadecimal(message)).encode()


def _in_hexadecimal(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_hexadecimal(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64decode(each).hex() if name in _IDENTIFIERS else _in_hexadecimal(each)
        for name, each in value.items()
    }


def parts_of(values: Iterator[bytes]) -> list[Held]:
    found = []
    for offset, value in enumerate(values):
        for outcome in decode(Record("otlp", 0, offset, None, value), LIMITS, NOW):
            assert not isinstance(outcome, InvalidTrace), outcome
            if isinstance(outcome, Part):
                found.append(Held(outcome, ("otlp", 0, offset)))
    return found


def traces_of(parts: list[Held]) -> list[Trace]:
    """Return what the parts are together, by time; none of them may be invalid."""
    replay = Replay(JoinRules(LIMITS))
    for joined in (replay.take(parts), replay.end()):
        assert not joined.invalid, joined.invalid
    return sorted(replay.traces.values(), key=lambda trace: trace.timestamp)
