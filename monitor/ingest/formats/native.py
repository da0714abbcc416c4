"""The native JSON form of traces, preference events and labels, declared once as types.

`python -m monitor.ingest.formats.native` writes the JSON Schemas of the types
into docs/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from monitor.domain.label import KIND_PATTERN, Label, LabelSource
from monitor.domain.trace import Message, Preference, ReportedScores, TokenSource, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import (
    MAX_DIMENSIONS,
    DecodeLimits,
    Reason,
    check_label,
    check_preference,
    check_trace,
    parse_json,
)
from monitor.ingest.formats.output_form import schema_text
from monitor.ingest.outcome import Carries, Format

MAX_NAME_CHARACTERS = 512
MAX_NUMBER = 1_000_000_000  # keeps sums of counts and squares exact in a double
MAX_ERROR_CHARACTERS = 10_000

# That a name is not blank is judged once it is read, by a reason of its own.
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS, extra_json_schema={"pattern": r"\S"})]
Text = Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)]
# Frames with missing values write counts as 12.0, so a whole float is a count too.
Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)] | Annotated[float, Meta(ge=0, le=MAX_NUMBER, multiple_of=1)]
Seconds = Annotated[float, Meta(ge=0, le=MAX_NUMBER)]
Number = Annotated[float, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Share = Annotated[float, Meta(ge=0, le=1)]
Labels = Annotated[
    dict[Text, str | int | float | bool | None],
    Meta(description="labels; numbers and booleans are read as their JSON text, a null label as absent"),
]
Timestamp = Annotated[datetime, Meta(description="RFC 3339; without an offset it is UTC")]


class NativePart(Struct, frozen=True, gc=False):
    type: str = "text"
    text: str | None = None


class NativeMessage(Struct, frozen=True, gc=False):
    role: Name
    content: Annotated[
        str | list[NativePart] | None,
        Meta(description="text, or parts; those with text are joined by newlines"),
    ] = None


class NativeFeedback(Struct, frozen=True, gc=False):
    rating: Annotated[Number | None, Meta(description="below zero: the user was not content")] = None


class NativeRewardScores(Struct, frozen=True, gc=False):
    policy: Annotated[Number, Meta(description="of the response")]
    reference: Annotated[Number | None, Meta(description="of the reference response, by the same model")] = None


class NativeTrace(Struct, frozen=True, kw_only=True, gc=False):
    """One call of the policy model. Unknown fields are ignored.

    A response, an error, tool calls, output tokens or a latency are required: tokens alone are still a length, and a
    latency alone is a call that did not fail.
    """

    trace_id: Name
    timestamp: Timestamp
    policy_model: Name
    response: str | None = None
    conversation_id: Text | None = None
    cohort: Labels | None = None
    messages: list[NativeMessage] | None = None
    reference_response: str | None = None
    finish_reason: Text | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    latency_seconds: Seconds | None = None
    feedback: NativeFeedback | None = None
    error: Annotated[str | None, Meta(description=f"cut to {MAX_ERROR_CHARACTERS:,} characters")] = None
    reward_scores: Annotated[
        NativeRewardScores | None,
        Meta(description="by the producer's own reward model; used where the monitor has none"),
    ] = None
    user_id: Text | None = None
    tool_calls: Annotated[Count | None, Meta(description="how many calls of tools the answer asks for")] = None
    truncated: Annotated[
        bool | None, Meta(description="the text was cut on its way here; it is not scored as if it were whole")
    ] = None
    first_token_seconds: Annotated[
        Seconds | None, Meta(description="after the request; of an answer that was streamed")
    ] = None
    cached_input_tokens: Annotated[
        Count | None, Meta(description="of input_tokens, that the provider read from its cache")
    ] = None
    output_type: Annotated[
        Text | None, Meta(description="that was asked for, in OpenTelemetry's words: json, text, ...")
    ] = None
    output_schema: Annotated[
        dict[str, Any] | str | None,
        Meta(description="JSON Schema that the answer was to keep to; one of more than 20,000 characters is left out"),
    ] = None


def native_form(trace: Trace) -> dict[str, Any]:
    """Return *trace* as the native JSON form has it; what is not known is left out.

    So are tokens that were counted here and not reported: whoever reads the form counts anew.
    """
    scores = trace.reward_scores
    form: dict[str, Any] = {
        "trace_id": trace.trace_id,
        "timestamp": trace.timestamp.isoformat().replace("+00:00", "Z"),
        "policy_model": trace.policy_model,
        "conversation_id": trace.conversation_id,
        "user_id": trace.user_id,
        "cohort": dict(trace.cohort) or None,
        "messages": [{"role": message.role, "content": message.content} for message in trace.messages] or None,
        "response": trace.response,
        "reference_response": trace.reference_response,
        "finish_reason": trace.finish_reason,
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens if trace.output_tokens_source is TokenSource.REPORTED else None,
        "latency_seconds": trace.latency_seconds,
        "feedback": None if trace.feedback_rating is None else {"rating": trace.feedback_rating},
        "error": trace.error,
        "reward_scores": None if scores is None else {"policy": scores.policy, "reference": scores.reference},
        "tool_calls": trace.tool_calls or None,
        "truncated": trace.truncated or None,
        "first_token_seconds": trace.first_token_seconds,
        "cached_input_tokens": trace.cached_input_tokens,
        "output_type": trace.output_type,
        "output_schema": trace.output_schema,
    }
    return {name: value for name, value in form.items() if value is not None}


class NativePreference(Struct, frozen=True, kw_only=True):
    """A human verdict on two responses to one prompt. Unknown fields are ignored."""

    preference_id: Name
    timestamp: Timestamp
    messages: list[NativeMessage]
    chosen: str
    rejected: str
    tie: bool | None = None
    annotator_id: Text | None = None
    criteria_version: Text | None = None
    cohort: Labels | None = None
    dimensions: dict[Text, Number] | None = None
    trace_id: Annotated[Text | None, Meta(description="whose answer is one of the two, where it is known")] = None


class NativeLabel(Struct, frozen=True, kw_only=True):
    """A judgement of one trace's answer. Unknown fields are ignored.

    The same content under the same label_id is the same label; another content with a later timestamp corrects it.
    """

    label_id: Name
    timestamp: Timestamp
    trace_id: Name
    kind: Annotated[
        str,
        Meta(
            pattern=KIND_PATTERN,
            description="preference (over the reference response: 1 won, 0.5 tie, 0 lost), refusal, rating, escalation,"
            " reopen, edit, regeneration, abandonment, correct, or one of your own",
        ),
    ]
    value: Share
    annotator_id: Text | None = None
    criteria_version: Text | None = None
    inclusion_probability: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="with which the trace was chosen to be labelled, before its label was seen"),
    ] = None
    dimensions: Annotated[dict[Text, Share] | None, Meta(description=f"{MAX_DIMENSIONS} at most")] = None
    source: Annotated[
        LabelSource,
        Meta(description="human: an annotator; ai: a model in an annotator's place; user: whoever the answer was for"),
    ] = LabelSource.HUMAN


def decode_trace(value: bytes | None, limits: DecodeLimits, now: datetime) -> Trace | InvalidTrace:
    """Read a trace from *value*; return what is wrong with it where it is none.

    *now* is aware and bounds the timestamp from above. No input raises.
    """
    wire = parse_json(_TRACE, value)
    if isinstance(wire, InvalidTrace):
        return wire
    trace = to_trace(wire)
    return check_trace(trace, limits, now) or trace


def decode_preference(value: bytes | None, limits: DecodeLimits, now: datetime) -> Preference | InvalidTrace:
    """Read a preference event; the contract is `decode_trace`'s."""
    wire = parse_json(_PREFERENCE, value)
    if isinstance(wire, InvalidTrace):
        return wire
    preference = to_preference(wire)
    return check_preference(preference, limits, now) or preference


def decode_label(value: bytes | None, limits: DecodeLimits, now: datetime) -> Label | InvalidTrace:
    """Read a label; the contract is `decode_trace`'s."""
    wire = parse_json(_LABEL, value)
    if isinstance(wire, InvalidTrace):
        known = f"; wanted {', '.join(LabelSource)}" if wire.reason == Reason.UNKNOWN_WORD else ""
        return replace(wire, detail=wire.detail + known)
    label = to_label(wire)
    return check_label(label, limits, now) or label


def to_trace(wire: NativeTrace) -> Trace:
    """Carry *wire* over as it is; whether it makes sense is judged afterwards.

    A blank response beside an error or calls of tools, a blank reference response
    and a blank conversation id say nothing and become None.
    """
    feedback = wire.feedback
    error = wire.error or None
    scores = wire.reward_scores
    return Trace(
        wire.trace_id,
        _utc(wire.timestamp),
        wire.policy_model,
        wire.response if error is None and not wire.tool_calls else _text(wire.response),
        _messages(wire.messages) if wire.messages else (),
        wire.conversation_id or None,
        _labels(wire.cohort) if wire.cohort else {},
        _text(wire.reference_response),
        wire.finish_reason,
        _count(wire.input_tokens),
        _count(wire.output_tokens),
        TokenSource.REPORTED,
        wire.latency_seconds,
        None if feedback is None else feedback.rating,
        None if error is None else error[:MAX_ERROR_CHARACTERS],
        None if scores is None else ReportedScores(scores.policy, scores.reference),
        wire.user_id or None,
        _count(wire.tool_calls) or 0,
        bool(wire.truncated),
        wire.first_token_seconds,
        _count(wire.cached_input_tokens),
        wire.output_type or None,
        None if wire.output_schema is None else schema_text(wire.output_schema),
    )


def to_preference(wire: NativePreference) -> Preference:
    return Preference(
        preference_id=wire.preference_id,
        timestamp=_utc(wire.timestamp),
        messages=_messages(wire.messages),
        chosen=wire.chosen,
        rejected=wire.rejected,
        tie=bool(wire.tie),
        annotator_id=wire.annotator_id or None,
        criteria_version=wire.criteria_version or None,
        cohort=_labels(wire.cohort) if wire.cohort else {},
        dimensions=wire.dimensions or {},
        trace_id=_text(wire.trace_id),
    )


def to_label(wire: NativeLabel) -> Label:
    """Carry *wire* over; a blank annotator or criteria version says nothing and becomes None."""
    return Label(
        wire.label_id,
        _utc(wire.timestamp),
        wire.trace_id,
        wire.kind,
        wire.value + 0.0,  # minus zero is zero
        _text(wire.annotator_id),
        _text(wire.criteria_version),
        wire.inclusion_probability,
        {name: value + 0.0 for name, value in (wire.dimensions or {}).items()},
        wire.source,
    )


def schemas() -> Mapping[str, bytes]:
    """Return the JSON Schemas by file name, as they stand in docs/."""
    kinds = {"response": "string", "error": "string", "tool_calls": "number"}
    kinds |= {"output_tokens": "number", "latency_seconds": "number"}
    given = [{"required": [name], "properties": {name: {"type": kind}}} for name, kind in kinds.items()]
    return {
        "native-trace.schema.json": _schema(NativeTrace, anyOf=given),
        "preference.schema.json": _schema(NativePreference),
        "label.schema.json": _schema(NativeLabel),
    }


def write_schemas(folder: Path) -> None:
    for name, content in schemas().items():
        (folder / name).write_bytes(content)


def _schema(struct: type[Struct], **beyond_the_type: object) -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(struct) | beyond_the_type
    return msgspec.json.format(msgspec.json.encode(schema, order="deterministic"), indent=2) + b"\n"


def _utc(timestamp: datetime) -> datetime:
    if timestamp.tzinfo is UTC:
        return timestamp
    if timestamp.tzinfo is None:
        return timestamp.replace(tzinfo=UTC)
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar: out of range in any zone
        return timestamp.replace(tzinfo=UTC)


def _text(text: str | None) -> str | None:
    return None if text is None or not text.strip() else text


def _count(count: int | float | None) -> int | None:
    return None if count is None else int(count)


def _messages(messages: Sequence[NativeMessage]) -> tuple[Message, ...]:
    return tuple(
        Message(message.role, message.content if isinstance(message.content, str) else _joined(message.content))
        for message in messages
    )


def _joined(parts: Sequence[NativePart] | None) -> str:
    return "\n".join(part.text for part in parts or () if part.text)


def _labels(labels: Mapping[str, str | int | float | bool | None]) -> Mapping[str, str]:
    return {
        name: label if isinstance(label, str) else msgspec.json.encode(label).decode()
        for name, label in labels.items()
        if label is not None
    }


_TRACE = msgspec.json.Decoder(NativeTrace)
_LABEL = msgspec.json.Decoder(NativeLabel)
_PREFERENCE = msgspec.json.Decoder(NativePreference)
FORMAT = Format(
    {
        Carries.TRACES: lambda record, limits, now: (decode_trace(record.value, limits, now),),
        Carries.LABELS: lambda record, limits, now: (decode_label(record.value, limits, now),),
        Carries.PREFERENCES: lambda record, limits, now: (decode_preference(record.value, limits, now),),
    }
)


if __name__ == "__main__":
    write_schemas(Path(__file__).parents[3] / "docs")
