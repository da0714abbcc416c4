"""A candidate ensemble that scores beside the champion before it takes over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitor.domain.trace import Message


@dataclass(frozen=True, slots=True)
class ShadowJob:
    """A job whose candidate passed its gate and may score beside the champion."""

    job_id: int
    version: str
    path: str  # of the candidate's folder
    sha256: str
    champion: str  # its version
    passed_at: datetime
    traces: int  # that both have scored


@dataclass(frozen=True, slots=True)
class ShadowTrace:
    """A trace that the champion has scored, and the candidate has not."""

    trace_id: str
    cohort: str
    messages: tuple[Message, ...]
    response: str
    mean: float  # the champion's
    disagreement: float


@dataclass(frozen=True, slots=True)
class ShadowScore:
    trace: ShadowTrace
    mean: float  # the candidate's; NaN where it has none, as the next
    disagreement: float


@dataclass(frozen=True, slots=True)
class ShadowLine:
    """The candidate beside the champion, on the traces of one cohort; None where too few or too even to say."""

    traces: int
    correlation: float | None = None
    rank_agreement: float | None = None  # share of pairs of traces that both put in the same order
    mean_difference: float | None = None  # candidate less champion, in the champion's sd
    champion_disagreement: float | None = None  # mean
    candidate_disagreement: float | None = None


@dataclass(frozen=True, slots=True)
class Shadow:
    job_id: int
    version: str
    champion: str
    traces: int
    overall: ShadowLine
    by_cohort: Mapping[str, ShadowLine] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShadowScores:
    """What both gave the same traces, a row a trace; a candidate without a score has NaN."""

    job_id: int
    version: str
    champion: str
    cohorts: tuple[str, ...]
    champion_means: tuple[float, ...]
    candidate_means: tuple[float, ...]
    champion_disagreements: tuple[float, ...]
    candidate_disagreements: tuple[float, ...]
