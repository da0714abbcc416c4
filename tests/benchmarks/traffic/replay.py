"""Replaying traces through `backtest`, as users do, and what a part of the benchmark says of it."""

from __future__ import annotations

import gzip
import json
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from monitor.domain.alarm import AlarmKind, Severity
from monitor.domain.cohort import CohortRule
from monitor.domain.trace import Message, Trace
from monitor.drift.budget import Budget
from monitor.drift.fold import FoldRules
from monitor.ingest.decode import count_output_tokens
from monitor.observe.step import ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from monitor.signals.length import RESPONSE_LENGTH

AVERAGE_RUN_LENGTH = 10_000.0  # A
INPUT_SHIFT = AlarmKind.INPUT_SHIFT.value
COHORT_KEY = "dataset"
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Found:
    """An alarm, and how many traces past the baseline it came."""

    after: int  # from 1: the first trace that was watched
    signal: str
    cohort: str
    severity: str
    kind: str
    direction: str  # "-" where the alarm has none
    onset: int  # as `after`; 0 and below lies in the baseline
    effect: float | None
    unit: str
    detail: str

    @property
    def pages(self) -> bool:
        return self.severity == Severity.ALERT.value

    def __str__(self) -> str:
        return f"{self.signal} {self.cohort} {self.direction} after {self.after:,}"


@dataclass(frozen=True, slots=True)
class Play:
    """Traces to replay: the first `baseline` of them are frozen. `facts` say which run of its part it is."""

    part: str
    name: str
    baseline: int
    traces: Callable[[], Sequence[Trace]]  # picklable, for the processes that play
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Played:
    """What one run came to."""

    play: Play
    watched: int  # traces past the baseline
    alarms: tuple[Found, ...]  # in fold order

    @property
    def name(self) -> str:
        return self.play.name

    @property
    def page(self) -> Found | None:
        return next((alarm for alarm in self.alarms if alarm.pages), None)

    @property
    def noticed_input(self) -> bool:
        return any(INPUT_SHIFT in {alarm.signal, alarm.kind} for alarm in self.alarms)

    def length_page(self, direction: str | None = None, *, past: int = 0, shown: bool = False) -> Found | None:
        """Return the first page on the length, in *direction*, later than *past* traces; *shown*: or warning."""
        for alarm in self.alarms:
            right = alarm.signal == RESPONSE_LENGTH.name and alarm.after > past
            if right and (alarm.pages or shown) and direction in {None, alarm.direction}:
                return alarm
        return None

    def as_json(self) -> dict[str, Any]:
        return {
            "part": self.play.part,
            "name": self.name,
            "baseline": self.play.baseline,
            "watched": self.watched,
            **self.play.facts,
            "alarms": [asdict(alarm) for alarm in self.alarms],
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """What a part of the benchmark came to."""

    text: str
    failures: tuple[str, ...]
    facts: Mapping[str, Any]


def replay(play: Play) -> Played:
    """Run `rlhf-monitor backtest` on the traces of *play*."""
    traces = play.traces()
    plan = BacktestPlan(
        baseline_traces=play.baseline,
        observe=ObserveRules(CohortRule((COHORT_KEY,))),
        fold=FoldRules(Budget(average_run_length=AVERAGE_RUN_LENGTH)),
    )
    alarms = tuple(
        Found(
            after=alarm.place - play.baseline + 1,
            signal=alarm.stream.signal,
            cohort=alarm.stream.cohort,
            severity=alarm.severity.value,
            kind=alarm.kind.value,
            direction="-" if alarm.direction is None else alarm.direction.value,
            onset=alarm.onset_place - play.baseline + 1,
            effect=None if alarm.effect is None else alarm.effect.estimate,
            unit="-" if alarm.effect is None else alarm.effect.unit,
            detail=alarm.detail,
        )
        for alarm in backtest(traces, plan).alarms
    )
    return Played(play, len(traces) - play.baseline, alarms)


def replay_all(plays: Sequence[Play], *, jobs: int) -> list[Played]:
    """Replay *plays* in *jobs* processes; the answer is in their order."""
    if jobs == 1:
        return [replay(play) for play in plays]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        return pool.map(replay, plays, chunksize=4)


def chat_traces(rows: Iterable[tuple[str, str, str]], *, policy_model: str = "assistant-1") -> list[Trace]:
    """Return traces of *rows*: cohort, prompt and answer, a minute apart, with lengths counted as files have them."""
    return [
        count_output_tokens(
            Trace(
                trace_id=f"t-{number}",
                timestamp=START + number * STEP,
                policy_model=policy_model,
                response=answer,
                messages=(Message("user", prompt),),
                cohort={COHORT_KEY: cohort},
            ),
            None,
        )
        for number, (cohort, prompt, answer) in enumerate(rows)
    ]


def read_rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def middle(delays: Iterable[float]) -> float | None:
    """Return the median; None where there is none, or where it is one that never came (infinity)."""
    known = sorted(delays)
    value = median(known) if known else float("inf")
    return None if value == float("inf") else value


def signals_of(alarms: Iterable[Found]) -> str:
    """Name the signals and cohorts of *alarms*, each once."""
    return ", ".join(dict.fromkeys(f"{alarm.signal} {alarm.cohort}" for alarm in alarms)) or "-"
