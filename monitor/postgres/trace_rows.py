"""The rows of `trace`, as COPY takes them in binary."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import msgspec

from monitor.pipeline.checkpoint import Checkpoint
from monitor.postgres.binary import EPOCH_MICROS, NULL, Texts, day_number, field, text_field
from monitor.postgres.log import AppendedEntry

COPY_TRACES = (
    "copy trace (stored_on, entry_id, ordinal, partition, record_offset, timestamp, repeated, tool_calls, truncated,"
    " input_tokens, output_tokens, latency_seconds, feedback_rating, trace_id, topic, policy_model, conversation_id,"
    " cohort, messages, response, reference_response, finish_reason, output_tokens_source, error, user_id)"
    " from stdin (format binary)"
)
_COLUMNS = 25
# Each value behind its size: what no trace lacks is packed at once.
_FIXED = Struct("!h ii iq ii ii iq iq i? ii i?").pack
_INTEGER = Struct("!iq").pack
_FLOAT = Struct("!id").pack
_NO_MESSAGES = field(b"\x01[]")


def trace_rows(checkpoint: Checkpoint, entry: AppendedEntry) -> Iterator[bytes]:
    """Yield the row of each trace of *checkpoint*, which *entry* is the log's of."""
    shared, encode = Texts(), msgspec.json.Encoder().encode
    entry_id, day, observed = entry.entry_id, day_number(entry.stored_on), checkpoint.observed
    micros = (observed.entry.subjects.timestamps - EPOCH_MICROS).tolist()
    for ordinal, (item, position, at) in enumerate(zip(observed.traces, checkpoint.positions, micros, strict=True)):
        trace, (topic, partition, offset) = item.trace, position
        place = (_COLUMNS, 4, day, 8, entry_id, 4, ordinal, 4, partition, 8, offset)
        yield b"".join(
            (
                _FIXED(*place, 8, at, 1, item.repeated, 4, trace.tool_calls, 1, trace.truncated),
                NULL if trace.input_tokens is None else _INTEGER(8, trace.input_tokens),
                NULL if trace.output_tokens is None else _INTEGER(8, trace.output_tokens),
                NULL if trace.latency_seconds is None else _FLOAT(8, trace.latency_seconds),
                NULL if trace.feedback_rating is None else _FLOAT(8, trace.feedback_rating),
                text_field(trace.trace_id),
                shared[topic],
                shared[trace.policy_model],
                NULL if trace.conversation_id is None else text_field(trace.conversation_id),
                shared[item.cohort],
                field(b"\x01" + encode(trace.messages)) if trace.messages else _NO_MESSAGES,
                text_field(trace.response),
                NULL if trace.reference_response is None else text_field(trace.reference_response),
                shared[trace.finish_reason],
                shared[trace.output_tokens_source],
                NULL if trace.error is None else text_field(trace.error),
                NULL if trace.user_id is None else text_field(trace.user_id),
            )
        )
