"""Whatever of the known formats a record is in, told by its header or by its content."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import chain

import msgspec

from monitor.errors import InvalidTrace
from monitor.ingest.decode import MAX_SHOWN_CHARACTERS, DecodeLimits, Reason, parts_of_json
from monitor.ingest.formats import litellm, native
from monitor.ingest.outcome import Carries, Format, Outcome
from monitor.ingest.record import Record

BRACE = 0x7B
MAX_SHOWN_FIELDS = 8
LITELLM_FIELDS = frozenset(
    {"litellm_call_id", "call_type", "startTime", "endTime", "model_parameters", "hidden_params", "status_fields"}
    | {"prompt_tokens", "completion_tokens", "request_tags", "custom_llm_provider", "error_str", "model_group"}
)
NATIVE_FIELDS = frozenset(
    {"trace_id", "timestamp", "policy_model", "conversation_id", "cohort", "reference_response", "finish_reason"}
    | {"input_tokens", "output_tokens", "latency_seconds", "feedback", "reward_scores"}
)
KNOWN = "a native trace (`policy_model`) or a payload of LiteLLM (`litellm_call_id`)"


def decode_traces(record: Record, limits: DecodeLimits, now: datetime) -> Iterable[Outcome]:
    """Read *record* as what it is; one that fits no format is told so, with what was found.

    Native traces are tried first, since most records are.
    """
    value = record.value
    if value and value[0] == BRACE:
        trace = native.decode_trace(value, limits, now)
        if not isinstance(trace, InvalidTrace):
            return (trace,)
    pieces = parts_of_json(value)
    if len(pieces) == 1:
        return _read_object(record, limits, now)
    return chain.from_iterable(
        _read_object(msgspec.structs.replace(record, value=piece), limits, now) for piece in pieces
    )


def _read_object(record: Record, limits: DecodeLimits, now: datetime) -> Iterable[Outcome]:
    """Read one JSON object in the format that its fields are of."""
    trace = native.decode_trace(record.value, limits, now)
    fields = _fields(record.value) if isinstance(trace, InvalidTrace) else None
    if fields is None:  # a native trace, or no JSON object
        return (trace,)
    native_fields = len(NATIVE_FIELDS.intersection(fields))
    if len(LITELLM_FIELDS.intersection(fields)) > native_fields:
        return (litellm.decode_payload(record.value, record, limits, now),)
    if native_fields:
        return (trace,)
    found = ", ".join(ascii(name[:MAX_SHOWN_CHARACTERS]) for name in fields[:MAX_SHOWN_FIELDS]) or "no field"
    more = f" and {len(fields) - MAX_SHOWN_FIELDS} more fields" if len(fields) > MAX_SHOWN_FIELDS else ""
    return (InvalidTrace(Reason.UNKNOWN_FORMAT, f"value holds {found}{more}; wanted {KNOWN}"),)


def _fields(value: bytes | None) -> list[str] | None:
    try:
        return list(_OBJECT.decode(value or b""))
    except (ValueError, RecursionError):
        return None


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
FORMAT = Format(
    {
        Carries.TRACES: decode_traces,
        # One format of each is known.
        Carries.LABELS: native.FORMAT.decoders[Carries.LABELS],
        Carries.PREFERENCES: native.FORMAT.decoders[Carries.PREFERENCES],
    }
)
