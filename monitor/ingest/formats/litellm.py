"""LiteLLM's StandardLoggingPayload, as its callbacks and its proxy write it: one call, or a batch of calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from monitor.domain.trace import Message, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason, check_trace, parse_json, parts_of_json
from monitor.ingest.formats.litellm_cut import is_cut, is_shown, shown_fields
from monitor.ingest.formats.native import MAX_ERROR_CHARACTERS, MAX_NAME_CHARACTERS, MAX_NUMBER, Count, Text
from monitor.ingest.outcome import Carries, Format, Outcome, Skipped, SkipReason
from monitor.ingest.record import Record

ANSWERING = frozenset(  # the call types whose answer is a policy's; of others, those whose response looks like one
    {"completion", "text_completion", "responses", "anthropic_messages", "generate_content", "generate_content_stream"}
)
REDACTED = ("redacted-by-litellm", "redacted by litellm")
NOBODY = "default_user_id"  # whom the proxy names where keys have no owners
TURNED_AWAY = frozenset(  # LiteLLM itself said no: no model was called
    {"ProxyException", "ProxyModelNotFoundError", "HTTPException", "BudgetExceededError"}
)


class LitellmPart(Struct, frozen=True, gc=False):
    text: str | None = None
    refusal: str | None = None


Content = str | list[LitellmPart | str] | None


class LitellmMessage(Struct, frozen=True):
    """A message, or an item that the Responses API takes in a message's place."""

    role: Text | None = None
    content: Content = None
    type: str | None = None
    output: Any = None  # of a tool


class LitellmRefusal(Struct, frozen=True, gc=False):
    refusal: str | None = None


class LitellmAnswer(Struct, frozen=True):
    content: Content = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    provider_specific_fields: LitellmRefusal | None = None


class LitellmChoice(Struct, frozen=True):
    message: LitellmAnswer | None = None
    text: str | None = None
    finish_reason: Text | None = None


class LitellmIncomplete(Struct, frozen=True, gc=False):
    reason: Text | None = None


class LitellmResponse(Struct, frozen=True):
    """A chat or text completion has choices, the Responses API items of output."""

    model: Text | None = None
    choices: list[LitellmChoice] | None = None
    output: list[LitellmMessage] | str | None = None
    status: Text | None = None
    incomplete_details: LitellmIncomplete | None = None


class LitellmError(Struct, frozen=True, gc=False):
    error_class: str | None = None
    error_message: str | None = None
    llm_provider: str | None = None


class LitellmParameters(Struct, frozen=True, gc=False):
    user: Text | int | None = None
    instructions: str | None = None


class LitellmHidden(Struct, frozen=True):
    additional_headers: dict[str, Any] | None = None


class LitellmKind(Struct, frozen=True):
    """What tells whether a payload is for us; the rest of others is not looked at."""

    call_type: str | None = None
    cache_hit: bool | None = None
    status: str | None = None
    custom_llm_provider: str | None = None
    error_information: LitellmError | None = None
    response: msgspec.Raw = msgspec.Raw()


class LitellmPayload(Struct, frozen=True):
    """The fields that are read; operators may leave out any."""

    id: str | None = None
    litellm_call_id: str | None = None
    trace_id: Text | None = None  # the session's, where one was given
    session_id: Text | None = None
    status: str | None = None
    startTime: float | str | None = None  # noqa: N815 - as it is written
    endTime: float | str | None = None  # noqa: N815
    response_time: float | None = None
    model: Text | None = None
    model_group: Text | None = None
    custom_llm_provider: Text | None = None
    end_user: Text | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    request_tags: list[Any] | None = None
    metadata: dict[str, Any] | None = None
    model_parameters: LitellmParameters | None = None
    hidden_params: LitellmHidden | None = None
    messages: str | list[LitellmMessage | str | int | list[Any]] | LitellmMessage | None = None
    response: LitellmResponse | str | list[Any] | None = None
    error_str: str | None = None
    error_information: LitellmError | None = None


class _Answer(Struct, gc=False):
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
    kind = parse_json(_KIND, value)
    if isinstance(kind, InvalidTrace):
        return kind
    if kind.cache_hit:
        return Skipped(SkipReason.CACHE_HIT)
    if not _is_policy_call(kind):
        return Skipped(SkipReason.OTHER_SPAN)
    payload = parse_json(_PAYLOAD, value)
    if isinstance(payload, InvalidTrace):
        return payload
    trace = _trace(payload, record, limits)
    if isinstance(trace, InvalidTrace):
        return trace
    return check_trace(trace, limits, now) or trace


def _is_policy_call(kind: LitellmKind) -> bool:
    """Say whether a model was asked for an answer: not for an embedding, and not turned away before."""
    error = kind.error_information
    turned_away = error is not None and (error.error_class in TURNED_AWAY or not kind.custom_llm_provider)
    if kind.status == "failure" and error is not None and not error.llm_provider and turned_away:
        return False
    if not kind.call_type or kind.call_type in ANSWERING or kind.call_type.removeprefix("a") in ANSWERING:
        return True
    response = bytes(kind.response)
    return b'"choices"' in response or b'"output"' in response


def _trace(payload: LitellmPayload, record: Record, limits: DecodeLimits) -> Trace | InvalidTrace:
    answer = _answer(payload.response)
    name, model = _name(payload), answer.model or payload.model or None
    if name is None or model is None:
        field, wanted = ("litellm_call_id", "it or `id`") if name is None else ("model", "it or `response.model`")
        return InvalidTrace(Reason.MISSING_FIELD, f"{field} = absent; wanted {wanted} to be there")
    if len(name) > MAX_NAME_CHARACTERS:
        found = f"{len(name):,} characters"
        return InvalidTrace(Reason.IDENTIFIER_TOO_LONG, f"id = {found}; wanted at most {MAX_NAME_CHARACTERS}")
    times = _times(payload, record)
    if isinstance(times, InvalidTrace):
        return times
    messages = _messages(payload)
    error = _error(payload) if payload.status == "failure" or (payload.error_str and not payload.status) else None
    # A count of zero beside an answer, or a failure, is one that nobody made.
    counted = payload.completion_tokens or (None if answer.said or error else payload.completion_tokens)
    return Trace(
        trace_id=name,
        timestamp=times[0],
        policy_model=model,
        response=answer.text,
        messages=messages,
        conversation_id=_first_name(payload.session_id, payload.trace_id),
        cohort=_labels(payload, limits.label_keys) if limits.label_keys else {},
        finish_reason=answer.finish_reason,
        input_tokens=int(payload.prompt_tokens) if payload.prompt_tokens else None,
        output_tokens=None if counted is None else int(counted),
        latency_seconds=times[1],
        error=error,
        user_id=_user(payload),
        tool_calls=answer.tool_calls,
        truncated=_is_cut(payload, answer, messages),
    )


def _name(payload: LitellmPayload) -> str | None:
    """Return the call's name; an attempt after others that failed shares theirs, so it gets its number too."""
    call = payload.litellm_call_id
    if not call:
        return payload.id or None
    headers = (payload.hidden_params and payload.hidden_params.additional_headers) or {}
    before = [headers.get(f"x-litellm-attempted-{kind}") for kind in ("retries", "fallbacks")]
    attempts = sum(count for count in before if isinstance(count, int))
    return f"{call}-{attempts}" if attempts > 0 else call


def _times(payload: LitellmPayload, record: Record) -> tuple[datetime, float | None] | InvalidTrace:
    """Return when the answer was there, and after how many seconds."""
    moments = []
    for field, value in (("startTime", payload.startTime), ("endTime", payload.endTime)):
        try:
            moments.append(_moment(value))
        except (ValueError, OverflowError, OSError):
            wanted = "seconds since 1970, or ISO 8601"
            return InvalidTrace(Reason.INVALID_TIMESTAMP, f"{field} = {str(value)[:80]}; wanted {wanted}")
    start, end = moments
    written = end or start or (_moment(record.timestamp_ms / 1000) if record.timestamp_ms > 0 else None)
    if written is None:
        return InvalidTrace(Reason.MISSING_FIELD, "endTime = absent; wanted it or `startTime` to be there")
    seconds = (end - start).total_seconds() if start and end else payload.response_time
    return written, seconds if seconds is not None and 0 <= seconds <= MAX_NUMBER else None


def _moment(value: float | str | None) -> datetime | None:
    if not value:
        return None
    if not isinstance(value, str):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _answer(response: LitellmResponse | str | list[Any] | None) -> _Answer:
    if isinstance(response, str):
        return _shown_answer(response) if is_shown(response) else _Answer(response)
    if not isinstance(response, LitellmResponse):
        return _Answer()
    if isinstance(response.output, list) and not response.choices:
        return _output_answer(response, response.output)
    answer = _Answer(model=response.model or None)
    if not response.choices:
        return answer
    choice = response.choices[0]
    answer.finish_reason = choice.finish_reason
    message = choice.message or LitellmAnswer(content=choice.text)
    refusal = message.refusal or (message.provider_specific_fields and message.provider_specific_fields.refusal)
    answer.said = _joined(message.content) or refusal or ""
    answer.tool_calls = len(message.tool_calls or ()) + (message.function_call is not None)
    return answer


def _output_answer(response: LitellmResponse, items: list[LitellmMessage]) -> _Answer:
    """Read the answer of the Responses API; its reasoning is not the answer."""
    text = "\n".join(_joined(item.content) for item in items if item.type == "message")
    cut_short = response.incomplete_details and response.incomplete_details.reason
    tools = sum(item.type in ("function_call", "custom_tool_call") for item in items)
    return _Answer(text, response.model or None, cut_short or response.status, tools)


def _shown_answer(text: str) -> _Answer:
    """Read what a logger that takes little left of a response."""
    fields: dict[str, str] = {}
    for name, value in shown_fields(text) if "'choices'" in text else ():
        fields.setdefault(name, value)
    said = fields.get("content") or fields.get("text") or ""
    return _Answer(said, fields.get("model"), fields.get("finish_reason"))


def _is_cut(payload: LitellmPayload, answer: _Answer, messages: tuple[Message, ...]) -> bool:
    texts = [answer.said, *(message.content for message in messages)]
    return any(is_cut(text) for text in (*texts, payload.messages, payload.response) if isinstance(text, str))


def _messages(payload: LitellmPayload) -> tuple[Message, ...]:
    given = payload.messages
    if given is None:
        said = []
    elif isinstance(given, str):
        said = list(_shown_messages(given)) if is_shown(given) else [Message("user", given)]
    else:
        items = given if isinstance(given, list) else [given]
        said = [_message(item) for item in items if isinstance(item, LitellmMessage | str) and not _is_thought(item)]
    instructions = payload.model_parameters and payload.model_parameters.instructions
    if instructions and not any(message.role == "system" for message in said):
        said.insert(0, Message("system", instructions))
    return tuple(message for message in said if not message.content.startswith(REDACTED))


def _message(item: LitellmMessage | str) -> Message:
    if isinstance(item, str):
        return Message("user", item)
    kind = item.type or ""
    role = item.role or ("tool" if kind.endswith("_output") else "assistant" if kind.endswith("_call") else "user")
    return Message(role, item.output if isinstance(item.output, str) else _joined(item.content))


def _is_thought(item: LitellmMessage | str) -> bool:
    return isinstance(item, LitellmMessage) and item.type == "reasoning"


def _shown_messages(text: str) -> Iterator[Message]:
    role = "user"
    for name, value in shown_fields(text):
        if name == "role":
            role = value[:MAX_NAME_CHARACTERS] or role
        elif name in ("content", "text"):
            yield Message(role, value)


def _joined(content: Content) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [part if isinstance(part, str) else part.text or part.refusal for part in content]
    return "\n".join(part for part in parts if part)


def _error(payload: LitellmPayload) -> str:
    known = payload.error_information or LitellmError()
    told = payload.error_str or known.error_message or known.error_class or "failure"
    return told[:MAX_ERROR_CHARACTERS]


def _user(payload: LitellmPayload) -> str | None:
    metadata = payload.metadata or {}
    asked = metadata.get("requester_metadata")
    owner = metadata.get("user_api_key_user_id")
    return _first_name(
        payload.end_user,
        metadata.get("user_api_key_end_user_id"),
        payload.model_parameters and payload.model_parameters.user,
        asked.get("user_id") if isinstance(asked, dict) else None,
        None if owner == NOBODY else owner,
    )


def _first_name(*names: object) -> str | None:
    """Return the first that can be a name."""
    texts = (str(name) for name in names if isinstance(name, str | int) and not isinstance(name, bool))
    return next((text for text in texts if text.strip() and len(text) <= MAX_NAME_CHARACTERS), None)


def _labels(payload: LitellmPayload, wanted: frozenset[str]) -> Mapping[str, str]:
    """Return the labels that are wanted: from a tag `key:value`, else from metadata; a bare tag is `true`."""
    metadata = payload.metadata or {}
    told: dict[str, Any] = {"model_group": payload.model_group, "custom_llm_provider": payload.custom_llm_provider}
    for source in (metadata, metadata.get("requester_metadata"), metadata.get("spend_logs_metadata")):
        told |= source if isinstance(source, dict) else {}
    for tag in payload.request_tags or ():
        key, colon, value = tag.partition(":") if isinstance(tag, str) else ("", "", "")
        told[key.strip()] = value.strip() if colon else "true"
    return {
        key: (value if isinstance(value, str) else msgspec.json.encode(value).decode())[:MAX_NAME_CHARACTERS]
        for key, value in told.items()
        if key in wanted and isinstance(value, str | int | float) and value != ""
    }


_KIND = msgspec.json.Decoder(LitellmKind)
_PAYLOAD = msgspec.json.Decoder(LitellmPayload)
FORMAT = Format({Carries.TRACES: decode_traces})
