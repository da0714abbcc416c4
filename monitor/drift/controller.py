"""The controller: freezes the first baseline, folds the log, and makes alarms of what the detectors decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from monitor.domain.alarm import Alarm
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.drift.baseline import Baseline, NullRule, SignalBaseline, Stratum, build_baseline
from monitor.drift.diagnosis import describe, effect_unit
from monitor.drift.fold import Decision, Detector, Fold, in_fold_order
from monitor.drift.log import ObservationBatch, ObservationLog, windows_of

FOLD_TRACES = 20_000  # traces folded in one transaction
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ActiveBaseline:
    baseline_id: int
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class StoredFold:
    """Where the fold stands under one baseline."""

    next_index: int
    detectors: dict[StreamKey, Detector]


@dataclass(frozen=True, slots=True)
class FoldStep:
    """What one step of the fold makes true together."""

    baseline_id: int
    start_index: int
    stop_index: int
    detectors: dict[StreamKey, tuple[Detector, float]]  # that changed, with log e / log A
    alarms: Sequence[Alarm]


class FoldStore(ObservationLog, Protocol):
    """The log and what is made of it. Every method raises `Unavailable` where the store is away."""

    def place_checkpoints(self) -> int:
        """Give new checkpoints their place in fold order; return how many traces have one."""
        ...

    def batches(self, start: int, stop: int) -> Iterator[ObservationBatch]:
        """Yield the observations on the traces start <= index < stop, in fold order."""
        ...

    def active(self) -> ActiveBaseline | None: ...

    def freeze(self, baseline: Baseline, *, by: str, note: str) -> int:
        """Make *baseline* the active one; alarms of the one before are superseded."""
        ...

    def load_fold(self, baseline_id: int) -> StoredFold: ...

    def save_fold(self, step: FoldStep) -> None:
        """Commit *step* in one transaction; raises `Fenced` where another leader folded meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class ControllerRules:
    average_run_length: float
    baseline_traces: int  # 0: an operator freezes the first baseline
    null_rule: NullRule


@dataclass(frozen=True, slots=True)
class Tick:
    """What the controller saw and did."""

    traces: int  # placed
    folded: int  # next index of the fold; equals `traces` when it has caught up
    alarms: tuple[Alarm, ...]
    statuses: tuple[StreamStatus, ...]


class Controller:
    """One leader's loop body. After any exception the next tick begins from what is stored."""

    def __init__(self, store: FoldStore, rules: ControllerRules) -> None:
        self._store = store
        self._rules = rules
        self._fold: Fold | None = None
        self._baseline_id = 0
        self._next_index = 0

    def tick(self) -> Tick:
        """Fold what is new, FOLD_TRACES at most: whoever folds a long history again must hear of a stop."""
        traces = self._store.place_checkpoints()
        active = self._store.active() or self._freeze_first(traces)
        if active is None:
            return Tick(traces, traces, (), ())
        if self._fold is None or active.baseline_id != self._baseline_id or active.baseline != self._fold.baseline:
            self._load(active)
        alarms: list[Alarm] = []
        if self._next_index < traces:
            alarms = self._advance(min(traces, self._next_index + FOLD_TRACES))
        return Tick(traces, self._next_index, tuple(alarms), self._statuses())

    def _freeze_first(self, traces: int) -> ActiveBaseline | None:
        """Freeze the first traces; twice as many, and so on, where they are repeats that tell of no signal."""
        stop = self._rules.baseline_traces
        while 0 < stop <= traces:
            baseline = freeze_window(self._store, self._rules.null_rule, first_index=0, stop_index=stop)
            if baseline.signals:
                baseline_id = self._store.freeze(baseline, by="controller", note=f"the first {stop} traces")
                log.info("baseline_frozen", baseline=baseline_id, traces=stop)
                return ActiveBaseline(baseline_id, baseline)
            stop *= 2
        return None

    def _load(self, active: ActiveBaseline) -> None:
        stored = self._store.load_fold(active.baseline_id)
        fold = Fold(active.baseline, average_run_length=self._rules.average_run_length)
        fold.detectors |= stored.detectors
        self._fold, self._baseline_id, self._next_index = fold, active.baseline_id, stored.next_index

    def _advance(self, stop: int) -> list[Alarm]:
        """Fold up to the trace before *stop*; what fails leaves no half-folded state behind."""
        fold, self._fold = self._fold, None
        assert fold is not None
        before = dict(fold.detectors)
        decisions: list[Decision] = []
        for batch in self._store.batches(self._next_index, stop):
            decisions += fold.add(batch)
        alarms = [describe(decision, fold.baseline, self._store) for decision in in_fold_order(decisions)]
        changed = {
            key: (detector, fold.evidence_log(key))
            for key, detector in fold.detectors.items()
            if before.get(key) is not detector
        }
        self._store.save_fold(FoldStep(self._baseline_id, self._next_index, stop, changed, alarms))
        self._fold, self._next_index = fold, stop
        for alarm in alarms:
            log.warning("alarm", signal=alarm.stream.signal, severity=alarm.severity, direction=alarm.direction)
        return alarms

    def _statuses(self) -> tuple[StreamStatus, ...]:
        assert self._fold is not None
        return tuple(
            status_of(key, detector, self._fold.baseline, self._fold.evidence_log(key))
            for key, detector in sorted(self._fold.detectors.items())
        )


def freeze_window(store: FoldStore, rule: NullRule, *, first_index: int, stop_index: int) -> Baseline:
    """Build a baseline from the log's own observations."""
    windows = windows_of(store.batches(first_index, stop_index), first_index, stop_index)
    return build_baseline(windows, rule, first_index=first_index, stop_index=stop_index)


def status_of(key: StreamKey, detector: Detector, baseline: Baseline, evidence_log: float) -> StreamStatus:
    """Put a stream's numbers beside its baseline's, in the signal's unit."""
    law = baseline.get(key.signal, key.scorer_version)
    assert law is not None
    mean, half_width = _baseline_mean(law, key)
    low, high = law.bounds
    return StreamStatus(
        key=key,
        observations=detector.observations,
        mean=detector.mean,
        baseline_mean=mean,
        baseline_lower=max(mean - half_width, low),
        baseline_upper=min(mean + half_width, high),
        evidence_log=evidence_log,
        last_timestamp=detector.last_timestamp,
        unit=effect_unit(law),
    )


def _baseline_mean(law: SignalBaseline, key: StreamKey) -> tuple[float, float]:
    """Return the mean of the stream's strata, by their share of the window, and two standard errors of it."""
    strata = law.for_policy(key.policy_model)
    chosen: list[Stratum] = [strata[key.cohort]] if key.cohort in strata else list(strata.values())
    total = sum(row.observations for row in chosen)
    mean = sum(row.mean * row.observations for row in chosen) / total
    error = sum((row.standard_error * row.observations / total) ** 2 for row in chosen) ** 0.5
    return mean, 2.0 * error
