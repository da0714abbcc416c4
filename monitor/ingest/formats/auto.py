"""Whatever of the known formats a record is in, told by its header or by its content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain

import msgspec

from monitor.domain.trace import Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import MAX_SHOWN_CHARACTERS, DecodeLimits, Reason, parts_of_json
from monitor.ingest.formats import litellm, native, otlp
from monitor.ingest.outcome import Carries, Format, Outcome
from monitor.ingest.record import Record

BRACE, NEWLINE = 0x7B, 0x0A  # OTLP's protobuf begins with a newline, whatever follows
OPENINGS = (b"{", b"[")
MAX_BLANKS = 64  # before JSON
MAX_SHOWN_FIELDS = 8
LITELLM_FIELDS = frozenset(
    {"litellm_call_id", "call_type", "startTime", "endTime", "model_parameters", "hidden_params", "status_fields"}
    | {"prompt_tokens", "completion_tokens", "request_tags", "custom_llm_provider", "error_str", "model_group"}
)
NATIVE_FIELDS = frozenset(
    {"trace_id", "timestamp", "policy_model", "conversation_id", "cohort", "reference_response", "finish_reason"}
    | {"input_tokens", "output_tokens", "latency_seconds", "first_token_seconds", "feedback", "reward_scores"}
)
OTLP_FIELDS = frozenset({"resourceSpans", "resourceLogs", "resourceMetrics"})
OTLP_BEGINNING = b'{"resource'
OWN_FIELD, LITELLM_FIELD = b'"policy_model"', b'"litellm_call_id"'  # a text's own quotation marks are escaped
KNOWN = "a native trace (`policy_model`), a payload of LiteLLM (`litellm_call_id`), or OTLP (`resourceSpans`)"


def decode_traces(record: Record, limits: DecodeLimits, now: datetime) -> Iterable[Outcome]:
    """Read *record* as what it is; one that fits no format is told so, with what was found.

    The likeliest is tried first: a sound trace in it needs no look at the fields.
    """
    value = record.value
    if not value or (record.headers and _is_protobuf(record.headers)):
        return _OTLP(record, limits, now) if value else (native.decode_trace(value, limits, now),)
    if value[0] == BRACE:
        if value.startswith(OTLP_BEGINNING):
            return _OTLP(record, limits, now)
        is_native = OWN_FIELD in value or LITELLM_FIELD not in value
        found = (
            native.decode_trace(value, limits, now) if is_native else litellm.decode_payload(value, record, limits, now)
        )
        if isinstance(found, Trace):
            return (found,)
    may_be_protobuf = value[0] == NEWLINE
    if may_be_protobuf and value[:MAX_BLANKS].lstrip()[:1] not in OPENINGS:
        return _OTLP(record, limits, now)
    pieces = parts_of_json(value)
    if may_be_protobuf and len(pieces) == 1 and _fields(pieces[0]) is None:
        return _OTLP(record, limits, now)
    records = [msgspec.structs.replace(record, value=piece) for piece in pieces]
    return chain.from_iterable(_read_object(piece, limits, now) for piece in records)


def _is_protobuf(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Say whether a header declares the content, as `content-type: application/x-protobuf`."""
    return any(name.lower() == "content-type" and b"protobuf" in (value or b"") for name, value in headers)


def _read_object(record: Record, limits: DecodeLimits, now: datetime) -> Iterable[Outcome]:
    """Read one JSON object in the format that its fields are of."""
    fields = _fields(record.value)
    trace: Trace | InvalidTrace | None = None
    if fields is None or "policy_model" in fields:  # without it there is no native trace
        trace = native.decode_trace(record.value, limits, now)
        if fields is None or not isinstance(trace, InvalidTrace):
            return (trace,)
    if not OTLP_FIELDS.isdisjoint(fields):
        return _OTLP(record, limits, now)
    native_fields = len(NATIVE_FIELDS.intersection(fields))
    if len(LITELLM_FIELDS.intersection(fields)) > native_fields:
        return (litellm.decode_payload(record.value, record, limits, now),)
    if native_fields:
        return (trace or native.decode_trace(record.value, limits, now),)
    found = ", ".join(ascii(name[:MAX_SHOWN_CHARACTERS]) for name in fields[:MAX_SHOWN_FIELDS]) or "no field"
    more = f" and {len(fields) - MAX_SHOWN_FIELDS} more fields" if len(fields) > MAX_SHOWN_FIELDS else ""
    return (InvalidTrace(Reason.UNKNOWN_FORMAT, f"value holds {found}{more}; wanted {KNOWN}"),)


def _fields(value: bytes | None) -> list[str] | None:
    try:
        return list(_OBJECT.decode(value or b""))
    except (ValueError, RecursionError):
        return None


_OTLP = otlp.FORMAT.decoders[Carries.TRACES]
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
FORMAT = Format(
    {
        Carries.TRACES: decode_traces,
        # One format of each is known.
        Carries.LABELS: native.FORMAT.decoders[Carries.LABELS],
        Carries.PREFERENCES: native.FORMAT.decoders[Carries.PREFERENCES],
    }
)
