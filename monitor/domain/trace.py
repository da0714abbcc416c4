"""A trace: one call of the policy model, as its producer reported it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct


class TokenSource(StrEnum):
    """Where `Trace.output_tokens` comes from; it names the unit of the response length."""

    REPORTED = "reported"
    TOKENIZER = "tokenizer"
    WORDS = "words"


USER_ROLES = frozenset({"user", "human"})
TOOL_FINISHES = frozenset({"tool_calls", "tool_call", "tool_use", "function_call"})  # as providers write it


class Message(Struct, frozen=True, gc=False):
    role: str
    content: str


class ReportedScores(Struct, frozen=True, gc=False):
    """What the producer's own reward model said; `reference` is of the reference response."""

    policy: float
    reference: float | None = None


class Trace(Struct, frozen=True, gc=False):  # made once a record: a dataclass costs twenty times as much
    """One call of the policy model.

    `response` is None where there is no text to judge: the call failed, the answer is a
    call of tools, or the producer keeps texts to itself and reports tokens alone.
    `cohort` holds the producer's labels as they came; which of them make a cohort is
    decided by `CohortRule`.
    """

    trace_id: str
    timestamp: datetime  # UTC, aware
    policy_model: str
    response: str | None
    messages: tuple[Message, ...] = ()
    conversation_id: str | None = None
    cohort: Mapping[str, str] = {}
    reference_response: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_source: TokenSource = TokenSource.REPORTED
    latency_seconds: float | None = None
    feedback_rating: float | None = None  # below zero: the user was not content
    error: str | None = None
    reward_scores: ReportedScores | None = None  # used where no reward model is configured
    user_id: str | None = None
    tool_calls: int = 0  # that the answer asks for
    truncated: bool = False  # the text was cut on its way here; a cut by the length limit is a finish reason
    first_token_seconds: float | None = None  # after the request; of an answer that was streamed
    cached_input_tokens: int | None = None  # of `input_tokens`, that the provider read from its cache
    output_type: str | None = None  # that was asked for, in OpenTelemetry's words: "text", "json", ...
    output_schema: str | None = None  # JSON Schema that the answer was to keep to

    @property
    def calls_tools(self) -> bool:
        """Say whether the answer asks for tools; where no call of them is told, the finish reason says so."""
        return self.tool_calls > 0 or (self.finish_reason or "").lower() in TOOL_FINISHES

    @property
    def whole_response(self) -> str | None:
        """The response as the policy gave it; None where there is no text, or not all of it came here."""
        return None if self.truncated else self.response

    def repeat_keys(self) -> tuple[bytes, ...]:
        """16-byte keys of the conversation and of the prompt, each bound to the policy model.

        Two traces that share a key inside the repeat window are not independent
        observations; only the first of them may reach a detector. A prompt that was cut
        has no key: many prompts that begin alike are not the same one.
        """
        keys = []
        if self.conversation_id is not None:
            keys.append(_digest(_head("conversation", self.policy_model) + _framed(self.conversation_id)))
        if self.messages and not self.truncated:
            parts = [_head("prompt", self.policy_model)]
            for message in self.messages:
                parts.append(_role(message.role))
                parts.append(_framed(message.content))
            keys.append(_digest(b"".join(parts)))
        return tuple(keys)


@dataclass(frozen=True, slots=True)
class Preference:
    """A human verdict on two responses to the same prompt."""

    preference_id: str
    timestamp: datetime  # UTC, aware
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    tie: bool = False
    annotator_id: str | None = None
    criteria_version: str | None = None
    cohort: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, float] = field(default_factory=dict)
    trace_id: str | None = None  # whose answer is one of the two, where it is known


def prompt_of(messages: Sequence[Message]) -> str | None:
    """Return the last user message; all messages where none is a user's, and None where there is none at all."""
    for message in reversed(messages):
        if message.role in USER_ROLES:
            return message.content
    return "\n".join(message.content for message in messages) if messages else None


def _digest(framed: bytes) -> bytes:
    return blake2b(framed, digest_size=16).digest()


def _framed(text: str) -> bytes:
    """Return *text* behind its length, so that no two runs of texts are framed alike."""
    encoded = text.encode("utf-8", "surrogatepass")
    return _LENGTH(len(encoded)) + encoded


@lru_cache(maxsize=1024)
def _head(kind: str, policy_model: str) -> bytes:
    return _framed(kind) + _framed(policy_model)


_role = lru_cache(maxsize=64)(_framed)
_LENGTH = struct.Struct("<Q").pack
