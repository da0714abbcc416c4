"""Stored traces as people look them up: what is known of each, and its text apart from that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple


class TracePlace(NamedTuple):
    """Where a trace is stored; ascending as traces came."""

    stored_on: date  # UTC
    entry_id: int  # of the log
    ordinal: int  # within the entry


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces are looked for; None leaves out a bound."""

    trace_id: str | None = None
    cohort: str | None = None
    policy_model: str | None = None
    since: datetime | None = None  # aware; of the traces' own time
    until: datetime | None = None  # exclusive


@dataclass(frozen=True, slots=True)
class TraceRow:
    """What is known of a trace, without a word of what was said."""

    trace_id: str
    timestamp: datetime  # UTC: the producer's
    stored_on: date  # UTC: the day it came
    policy_model: str
    cohort: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    output_tokens_source: str
    latency_seconds: float | None
    feedback_rating: float | None
    tool_calls: int
    failed: bool  # the call ended in an error
    repeated: bool  # stored, and no observation
    truncated: bool


@dataclass(frozen=True, slots=True)
class TraceScore:
    scorer_version: str
    mean: float
    lower: float
    disagreement: float


@dataclass(frozen=True, slots=True)
class TraceObservation:
    signal: str
    scorer_version: str
    value: float


@dataclass(frozen=True, slots=True)
class Said:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TraceText:
    """What was said, as redaction has left it."""

    conversation_id: str | None
    user_id: str | None
    messages: tuple[Said, ...]
    response: str | None
    reference_response: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class TraceDetail:
    trace: TraceRow
    scores: tuple[TraceScore, ...]
    observations: tuple[TraceObservation, ...]  # by signal
    text: TraceText | None = None  # unless it was asked for, and may be read


@dataclass(frozen=True, slots=True)
class FoundTraces:
    traces: tuple[TraceRow, ...]
    goes_on_behind: TracePlace | None  # None: nothing older is stored
