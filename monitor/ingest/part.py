"""A part of a model call: what one span, one event or one log record tells of it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class PartKind(StrEnum):
    CALL = "call"  # the span of a model call
    CONTENT = "content"  # texts that belong to a call's span and came in an event or a log record
    CONTEXT = "context"  # any other span: it may hold who asked, or be the way to the span that does


class Part(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What one piece of telemetry tells; None and empty where it tells nothing.

    `trace` names what the parts of a call have in common; a call is told by `trace` and
    `span` together. Times are nanoseconds since 1970, UTC, as OpenTelemetry writes them.
    """

    kind: PartKind
    trace: str  # OpenTelemetry's trace id, hexadecimal: a request, of which a model call is one step
    span: str  # hexadecimal; of CONTENT the span it belongs to
    parent: str | None = None  # None: this is the root, or the parent was not told
    start_ns: int | None = None
    end_ns: int | None = None
    model: str | None = None  # that answered
    request_model: str | None = None  # that was asked for; used where no other is told
    conversation_id: str | None = None
    user_id: str | None = None
    labels: dict[str, str] = {}  # of `DecodeLimits.label_keys` alone
    messages: tuple[tuple[str, str], ...] = ()  # role and content; CONTENT may bring them one by one, in time order
    response: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tool_calls: int = 0
    truncated: bool = False
    error: str | None = None
    scope: str | None = None  # of CALL: who wrote the span
    response_id: str | None = None  # the server's name of the answer: the same in every span of one call
    first_token_seconds: float | None = None
    cached_input_tokens: int | None = None
    output_type: str | None = None  # that was asked for
    output_schema: str | None = None
    cached: bool = False  # an answer that was given before

    @property
    def call_id(self) -> str:
        return f"{self.trace}-{self.span}"
