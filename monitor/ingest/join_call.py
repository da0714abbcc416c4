"""One call of the model, made of what its spans, events and log records tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from monitor.domain.trace import Message, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import Reason
from monitor.ingest.outcome import SkipReason
from monitor.ingest.part import Part, PartKind
from monitor.ingest.record import Position
from monitor.telemetry.intake import Missing

_SERVED = (  # fields that a trace takes from the first part that tells them
    *("model", "request_model", "finish_reason", "input_tokens", "output_tokens"),
    *("first_token_seconds", "cached_input_tokens", "output_type", "output_schema"),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Held(Struct, frozen=True, gc=False):
    """A part in hand, with the record it came in."""

    part: Part
    position: Position
    age_seconds: float = 0.0  # since it was received
    fragment_id: int | None = None  # of the row it is kept in; None: it came just now


@dataclass(slots=True)
class Call:
    """The parts of one call, those of its outermost span first."""

    span: str  # the outermost one, which names the call
    spans: list[str]  # all that are this call
    parts: list[Held]
    links: set[str]  # spans above any of `spans`, as far as they are in hand
    has_parent: bool  # the span above `span` is in hand
    is_whole: bool  # all spans above `span` are in hand, to the root
    contexts: list[Held]  # spans above `span` that are no calls, nearest first

    @property
    def has_span(self) -> bool:
        return self.parts[0].part.kind is PartKind.CALL  # a span's own parts come before its texts

    @property
    def tells_all(self) -> bool:
        """Say whether a prompt is told, and an answer, a call of tools or an error."""
        asked = answered = False
        for item in self.parts:
            part = item.part
            asked = asked or bool(part.messages)
            answered = answered or part.response is not None or part.tool_calls > 0 or part.error is not None
            # Who tells texts, and how the answer ended, has told all of it: the answer is empty.
            answered = answered or (
                part.finish_reason is not None and bool(part.messages or part.kind is PartKind.CONTENT)
            )
        return asked and answered

    @property
    def is_placed(self) -> bool:
        """Say whether no more spans above are needed: the root is in hand, or the parent and the conversation."""
        if self.is_whole:
            return True
        named = (item.part.conversation_id for item in (*self.parts, *self.contexts))
        return self.has_parent and any(name is not None for name in named)

    @property
    def missing(self) -> list[Missing]:
        """Return what the call still waits for."""
        missing = [] if self.has_span else [Missing.SPAN]
        if not self.tells_all:
            missing.append(Missing.TEXT)
        if self.has_span and not self.is_placed:
            missing.append(Missing.PARENT)
        return missing

    def is_open(self, settle_seconds: float) -> bool:
        """Say whether messages come one by one, in records of their own, and another may be on its way."""
        if len(self.parts) == 1:
            return False
        spans = {item.position for item in self.parts if item.part.kind is PartKind.CALL}
        texts = [item for item in self.parts if item.part.kind is PartKind.CONTENT and item.position not in spans]
        one_by_one = any(item.part.messages and item.part.response is None for item in texts)
        return one_by_one and min(item.age_seconds for item in texts) < settle_seconds

    @property
    def start_ns(self) -> int:
        return min((time for item in self.parts if (time := _time(item)[0])), default=0)

    @property
    def end_ns(self) -> int:
        times = ((item.part.end_ns, item.part.start_ns) for item in self.parts)
        return max((end if end is not None else start or 0 for end, start in times), default=0)

    @property
    def answers(self) -> set[str]:
        """Return the server's names of the answer."""
        return {item.part.response_id for item in self.parts if item.part.response_id}

    def contradicts(self, other: Call) -> bool:
        """Say whether both tell a prompt or an answer, and not the same one: some servers give all answers one name."""
        ours, theirs = self._whole, other._whole
        return any(our and their and our.isdisjoint(their) for our, their in zip(ours, theirs, strict=True))

    @property
    def _whole(self) -> tuple[set[str], set[str]]:
        """Return the last messages of prompts, and the answers, that were not cut; without their blanks."""
        parts = [item.part for item in self.parts if not item.part.truncated]
        asked = {"".join(part.messages[-1][1].split()) for part in parts if part.messages}
        return asked, {"".join(part.response.split()) for part in parts if part.response}

    def swallow(self, other: Call) -> None:
        """Take the parts of *other*, which tells of the same call."""
        self.spans += other.spans
        self.parts += other.parts
        self.contexts += other.contexts
        self.links |= other.links


def order_parts(spans: Iterable[tuple[Sequence[Held], Sequence[Held]]]) -> list[Held]:
    """Return the parts of *spans*, of each first its own parts and then its texts, both by time."""
    ordered: list[Held] = []
    for own, contents in spans:
        ordered += sorted(own, key=_time) if len(own) > 1 else own
        ordered += sorted(contents, key=_time) if len(contents) > 1 else contents
    return ordered


def assemble(call: Call, agreed: Callable[[str], str | None], now: datetime) -> Trace | InvalidTrace | SkipReason:
    """Return the trace that *call* makes; *agreed* gives what all spans of its request say of a field.

    What an outer span does not tell is taken from the spans inside it.
    """
    first = call.parts[0].part
    parts = [item.part for item in call.parts]
    everything = [*parts, *[item.part for item in call.contexts]]
    told = _told(parts)
    model = told.model or told.request_model
    skipped = _why_skipped(call, model)
    if skipped is not None:
        return skipped
    if model is None:
        return InvalidTrace(Reason.MISSING_FIELD, "model = absent; wanted the model that answered or was asked")
    response = first if first.response is not None and not first.truncated else _answer(parts)
    messages, is_cut = _prompt(parts)
    tool_calls = next((part.tool_calls for part in parts if part.tool_calls), 0)
    # Where an inner call failed and the outer one has an answer, it was tried again.
    failed = [part for part in parts if part.span == call.span] if response is not None or tool_calls else parts
    ended = first.end_ns if first.end_ns is not None else first.start_ns
    if ended is None:
        ended = call.end_ns
    return Trace(
        trace_id=first.call_id,
        timestamp=EPOCH + timedelta(microseconds=ended // 1000) if ended else now,
        policy_model=model,
        response=response.response if response is not None and (response.response or "").strip() else None,
        messages=messages,
        conversation_id=_first(everything, "conversation_id") or agreed("conversation_id"),
        user_id=_first(everything, "user_id") or agreed("user_id"),
        cohort={name: label for part in reversed(everything) for name, label in part.labels.items()},
        finish_reason=told.finish_reason,
        input_tokens=told.input_tokens,
        output_tokens=told.output_tokens,
        latency_seconds=_latency(first),
        first_token_seconds=told.first_token_seconds,
        cached_input_tokens=told.cached_input_tokens,
        output_type=told.output_type,
        output_schema=told.output_schema,
        error=_first(failed, "error"),
        tool_calls=tool_calls,
        truncated=is_cut or (response is not None and response.truncated),
    )


def _why_skipped(call: Call, model: str | None) -> SkipReason | None:
    if any(item.part.cached for item in call.parts):
        return SkipReason.CACHE_HIT
    if model is None and not call.has_span:
        return SkipReason.UNJOINED
    if model is None and any(item.part.error is not None for item in call.parts):
        return SkipReason.NO_MODEL
    return None


def _latency(part: Part) -> float | None:
    if part.start_ns is None or part.end_ns is None or part.end_ns < part.start_ns:
        return None
    return (part.end_ns - part.start_ns) / 1e9


def _told(parts: Sequence[Part]) -> Part:
    """Return the first part, with each of `_SERVED` from the first that tells it."""
    if len(parts) == 1:
        return parts[0]
    found = replace(parts[0], **{name: _first(parts, name) for name in _SERVED})
    if found.model is not None and found.model == found.request_model:  # as some repeat it who see no response
        others = (part.model for part in parts if part.model is not None and part.request_model == found.model)
        found = replace(found, model=next((model for model in others if model != found.model), found.model))
    return found


def _first(parts: Sequence[Part], name: str) -> Any:
    for part in parts:
        value = getattr(part, name)
        if value is not None:
            return value
    return None


def _answer(parts: Sequence[Part]) -> Part | None:
    """Return the part with the answer: the first that was not cut, else the one with the longest text."""
    told = [part for part in parts if part.response is not None]
    whole = next((part for part in told if not part.truncated), None)
    return whole or max(told, key=lambda part: len(part.response or ""), default=None)


def _prompt(parts: Sequence[Part]) -> tuple[tuple[Message, ...], bool]:
    """Return the prompt, and whether it was cut.

    A span, or an event with the answer beside, tells all of it; else events of one span tell it message by message.
    """
    told = [part for part in parts if part.messages]
    if not told:
        return (), False
    if len(told) == 1:
        return tuple([Message(role, content) for role, content in told[0].messages]), told[0].truncated
    whole = [part for part in told if part.kind is PartKind.CALL or part.response is not None]
    chosen = next((part for part in whole if not part.truncated), None) or next(iter(whole), None)
    pieces = [chosen] if chosen is not None else [part for part in told if part.span == told[0].span]
    messages = tuple(Message(role, content) for part in pieces for role, content in part.messages)
    return messages, any(part.truncated for part in pieces)


def _time(item: Held) -> tuple[int, Position]:
    part = item.part
    return part.start_ns if part.start_ns is not None else part.end_ns or 0, item.position
