"""Payloads of LiteLLM, as its callbacks, its batching loggers and its proxy write them, one or many a record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from monitor.domain.trace import Message, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason, check_trace, parse_json, parts_of_json
from monitor.ingest.formats.litellm_cut import is_cut, is_shown, shown_fields
from monitor.ingest.formats.litellm_wire import (
    LitellmAnswer,
    LitellmKind,
    LitellmMessage,
    LitellmPayload,
    LitellmResponse,
    joined,
)
from monitor.ingest.formats.native import MAX_NAME_CHARACTERS, MAX_NUMBER
from monitor.ingest.outcome import Carries, Format, Outcome, Skipped, SkipReason
from monitor.ingest.record import Record
from monitor.ingest.storable import storable_json

REDACTED = ("redacted-by-litellm", "redacted by litellm")


class Answer(Struct, gc=False):
    """What a response comes down to, whatever wrote it."""

    said: str = ""
    model: str | None = None
    finish_reason: str | None = None
    tool_calls: int = 0

    @property
    def text(self) -> str | None:
        return None if not self.said.strip() or self.said.startswith(REDACTED) else self.said


def decode_traces(record: Record, limits: DecodeLimits, now: datetime) -> Iterator[Outcome]:
    """Yield what a payload holds, or each of an array or of lines of them."""
    for piece in parts_of_json(record.value):
        yield decode_payload(piece, record, limits, now)


def decode_payload(value: bytes | None, record: Record, limits: DecodeLimits, now: datetime) -> Outcome:
    """Read one payload of *record*; the contract is that of the native `decode_trace`."""
    payload = parse_json(_PAYLOAD, value)
    if isinstance(payload, InvalidTrace) and payload.reason in _UNSTORABLE:
        value = storable_json(value or b"")
        payload = parse_json(_PAYLOAD, value)
    if isinstance(payload, InvalidTrace) or not payload.is_usual:
        kind = parse_json(_KIND, value)
        if isinstance(kind, InvalidTrace):
            return kind
        if kind.cache_hit:
            return Skipped(SkipReason.CACHE_HIT)
        if not kind.asks_a_model:
            return Skipped(SkipReason.OTHER_SPAN)
        if isinstance(payload, InvalidTrace):
            return payload
    trace = to_trace(payload, record, limits)
    if isinstance(trace, InvalidTrace):
        return trace
    return check_trace(trace, limits, now) or trace


def to_trace(payload: LitellmPayload, record: Record, limits: DecodeLimits) -> Trace | InvalidTrace:
    answer = answer_of(payload.response)
    name, model = payload.name, answer.model or payload.model or None
    if name is None or model is None:
        field, wanted = ("litellm_call_id", "it or `id`") if name is None else ("model", "it or `response.model`")
        return InvalidTrace(Reason.MISSING_FIELD, f"{field} = absent; wanted {wanted} to be there")
    if len(name) > MAX_NAME_CHARACTERS:
        found = f"{len(name):,} characters"
        return InvalidTrace(Reason.IDENTIFIER_TOO_LONG, f"id = {found}; wanted at most {MAX_NAME_CHARACTERS}")
    times = times_of(payload, record)
    if isinstance(times, InvalidTrace):
        return times
    failure = payload.response.failure if isinstance(payload.response, LitellmResponse) else None
    messages, error = messages_of(payload), payload.error or failure
    form = payload.output_form
    texts = (answer.said, payload.messages, payload.response, *(message.content for message in messages))
    # A count of zero beside an answer, or a failure, is one that nobody made.
    counted = payload.completion_tokens or (None if answer.said or error else payload.completion_tokens)
    return Trace(
        trace_id=name,
        timestamp=times[0],
        policy_model=model,
        response=answer.text,
        messages=messages,
        conversation_id=payload.conversation_id,
        cohort=labels_of(payload, limits.label_keys),
        finish_reason=answer.finish_reason,
        input_tokens=int(payload.prompt_tokens) if payload.prompt_tokens else None,
        output_tokens=None if counted is None else int(counted),
        latency_seconds=times[1],
        first_token_seconds=first_token_of(payload, times[1]),
        cached_input_tokens=payload.cached_input_tokens,
        output_type=form[0],
        output_schema=form[1],
        error=error,
        user_id=payload.user_id,
        tool_calls=answer.tool_calls,
        truncated=any(isinstance(text, str) and is_cut(text) for text in texts),
    )


def labels_of(payload: LitellmPayload, keys: frozenset[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    sources = payload.labels if keys else ()
    for key in keys:
        value = next((source[key] for source in sources if key in source), None)
        if isinstance(value, str | int | float) and value != "":
            told = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            labels[key] = told[:MAX_NAME_CHARACTERS]
    return labels


def times_of(payload: LitellmPayload, record: Record) -> tuple[datetime, float | None] | InvalidTrace:
    """Return when the answer was there, and after how many seconds."""
    moments: list[datetime | None] = []
    for field, value in (("startTime", payload.startTime), ("endTime", payload.endTime)):
        try:
            moment = datetime.fromisoformat(value) if value and isinstance(value, str) else None
            if isinstance(value, int | float) and value:
                moment = datetime.fromtimestamp(value, UTC)
            zoned = moment is None or moment.tzinfo is not None
            moments.append(moment.astimezone(UTC) if moment and zoned else moment and moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError, OSError):
            wanted = "seconds since 1970, or ISO 8601"
            return InvalidTrace(Reason.INVALID_TIMESTAMP, f"{field} = {str(value)[:80]}; wanted {wanted}")
    start, end = moments
    received = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC) if record.timestamp_ms > 0 else None
    written = end or start or received
    if written is None:
        return InvalidTrace(Reason.MISSING_FIELD, "endTime = absent; wanted it or `startTime` to be there")
    seconds = (end - start).total_seconds() if start and end else payload.response_time
    return written, seconds if seconds is not None and 0 <= seconds <= MAX_NUMBER else None


def first_token_of(payload: LitellmPayload, latency: float | None) -> float | None:
    """Return after how many seconds a streamed answer began; of others LiteLLM writes when they ended."""
    start, began = payload.startTime, payload.completionStartTime
    if payload.stream is not True or latency is None:
        return None
    if not isinstance(start, int | float) or not isinstance(began, int | float):
        try:
            seconds = (datetime.fromisoformat(str(began)) - datetime.fromisoformat(str(start))).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    else:
        seconds = began - start
    return seconds if 0.0 <= seconds <= latency else None


def answer_of(response: LitellmResponse | str | list[Any] | None) -> Answer:
    if isinstance(response, str):
        if not is_shown(response):
            return Answer(response)
        fields: dict[str, str] = {}
        for name, value in shown_fields(response) if "'choices'" in response else ():
            fields.setdefault(name, value)
        return Answer(
            fields.get("content") or fields.get("text") or "", fields.get("model"), fields.get("finish_reason")
        )
    if not isinstance(response, LitellmResponse):
        return Answer()
    if response.choices:
        choice = response.choices[0]
        message = choice.message or LitellmAnswer(content=choice.text)
        tools = len(message.tool_calls or ()) + (message.function_call is not None)
        return Answer(message.said, response.model or None, choice.finish_reason, tools)
    if not isinstance(response.output, list):
        return Answer(model=response.model or None)
    text = "\n".join(joined(item.content) for item in response.output if item.type == "message")
    cut_short = response.incomplete_details and response.incomplete_details.reason
    tools = sum(item.type in ("function_call", "custom_tool_call") for item in response.output)
    return Answer(text, response.model or None, cut_short or response.status, tools)


def messages_of(payload: LitellmPayload) -> tuple[Message, ...]:
    """Return the prompt as far as it is told."""
    given = payload.messages
    said: list[Message] = []
    if isinstance(given, str) and is_shown(given):
        role = "user"
        for name, value in shown_fields(given):
            if name == "role":
                role = value[:MAX_NAME_CHARACTERS] or role
            elif name in ("content", "text"):
                said.append(Message(role, value))
    else:
        for item in given if isinstance(given, list) else (given,):
            if isinstance(item, str):
                said.append(Message("user", item))
            elif isinstance(item, LitellmMessage) and item.type != "reasoning":
                kind = item.type or ""
                usual = "tool" if kind.endswith("_output") else "assistant" if kind.endswith("_call") else "user"
                content = item.output if isinstance(item.output, str) else joined(item.content)
                said.append(Message(item.role or usual, content))
    instructions = payload.model_parameters and payload.model_parameters.instructions
    if instructions and not any(message.role == "system" for message in said):
        said.insert(0, Message("system", instructions))
    return tuple(message for message in said if not message.content.startswith(REDACTED))


_UNSTORABLE = frozenset({Reason.NUL_CHARACTER, Reason.LONE_SURROGATE})
_KIND = msgspec.json.Decoder(LitellmKind)
_PAYLOAD = msgspec.json.Decoder(LitellmPayload)
FORMAT = Format({Carries.TRACES: decode_traces})
