"""Folding the log of observations into detectors, and what they decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Severity
from monitor.domain.cohort import ALL, OTHER, UNLABELLED
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline, Stratum
from monitor.drift.log import ObservationBatch
from monitor.stats.edetector import Crossing, State, Wagers, fold

WARNING_SHARE = 0.1  # a warning is raised at this share of A
MAX_POLICY_MODELS = 50  # models followed apart under one baseline; the rest share one stream


@dataclass(frozen=True, slots=True)
class Detector:
    """One stream's detector between two batches."""

    state: State
    observations: int
    mean: float  # of the observations so far, in the signal's unit
    last_timestamp: datetime
    reached: frozenset[Severity] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """A detector's evidence reached a threshold."""

    stream: StreamKey
    severity: Severity
    direction: Direction
    channel: int  # of the signal's law: the one whose best bet won most
    trace_index: int
    onset_index: int
    observations: int
    evidence_log: float  # log e / log A


class Fold:
    """All detectors under one baseline.

    Folding the same batches in the same order gives the same decisions, wherever the
    batches are cut and however often the work is taken up again from stored detectors.
    """

    def __init__(self, baseline: Baseline, *, average_run_length: float) -> None:
        self.baseline = baseline
        self.average_run_length = average_run_length
        self.detectors: dict[StreamKey, Detector] = {}
        self._wagers: dict[StreamKey, tuple[dict[str, int], Wagers]] = {}

    def add(self, batch: ObservationBatch) -> list[Decision]:
        """Fold *batch* into its cohorts' streams and the roll-up; traces inside the baseline are passed over."""
        batch = batch.between(self.baseline.stop_index)
        law = self.baseline.get(batch.signal, batch.scorer_version)
        if law is None or not len(batch.values):
            return []
        policy_model = self._capped(batch.policy_model)
        strata = law.for_policy(policy_model)
        channels = law.channels(batch.values)
        decisions = []
        for cohort in (ALL, *batch.cohorts):
            if cohort == UNLABELLED or (cohort != ALL and cohort not in strata):
                continue
            key = StreamKey(batch.signal, cohort, policy_model, batch.scorer_version)
            decisions += self._advance(key, batch, channels, strata)
        return decisions

    def evidence_log(self, key: StreamKey) -> float:
        """Return log e / log A: 1 is the alarm, 0 and below is nothing."""
        return self.detectors[key].state.log_e / float(np.log(self.average_run_length))

    def _advance(
        self, key: StreamKey, batch: ObservationBatch, channels: NDArray[np.float64], strata: dict[str, Stratum]
    ) -> list[Decision]:
        rows, wagers = self._wagers_for(key, strata)
        by_code = np.array([rows.get(name, -1) for name in batch.cohorts], dtype=np.int64)
        row_of = by_code[batch.cohort_codes]
        chosen = row_of >= 0
        if not chosen.any():
            return []
        before = self.detectors.get(key) or Detector(State.empty(wagers.components), 0, 0.0, batch.timestamp)
        indices, values = batch.indices[chosen], batch.values[chosen]
        state, crossings = fold(
            before.state,
            wagers.increments(channels[chosen], row_of[chosen]),
            indices,
            thresholds=tuple(self._threshold(severity) for severity in Severity if severity not in before.reached),
        )
        decisions = [self._decision(key, crossing, indices, before.observations) for crossing in crossings]
        count = before.observations + len(values)
        self.detectors[key] = Detector(
            state=state,
            observations=count,
            mean=before.mean + float((values - before.mean).sum()) / count,
            last_timestamp=max(before.last_timestamp, batch.timestamp),
            reached=before.reached | {decision.severity for decision in decisions},
        )
        return decisions

    def _decision(self, key: StreamKey, crossing: Crossing, indices: NDArray[np.int64], observations: int) -> Decision:
        severity = Severity.ALERT if crossing.threshold == self.average_run_length else Severity.WARNING
        return Decision(
            stream=key,
            severity=severity,
            direction=Direction.UP if crossing.up else Direction.DOWN,
            channel=crossing.channel,
            trace_index=int(indices[crossing.row]),
            onset_index=crossing.onset,
            observations=observations + crossing.row + 1,
            evidence_log=crossing.log_e / float(np.log(self.average_run_length)),
        )

    def _threshold(self, severity: Severity) -> float:
        return self.average_run_length * (1.0 if severity is Severity.ALERT else WARNING_SHARE)

    def _wagers_for(self, key: StreamKey, strata: dict[str, Stratum]) -> tuple[dict[str, int], Wagers]:
        if key not in self._wagers:
            chosen = list(strata.values()) if key.cohort == ALL else [strata[key.cohort]]
            rollup = key.cohort == ALL
            mean = np.array([row.channel_mean for row in chosen])
            half = np.array([row.rollup_half_width if rollup else row.half_width for row in chosen])
            sd = np.array([row.channel_sd for row in chosen])
            rows = {row.cohort: number for number, row in enumerate(chosen)}
            self._wagers[key] = rows, Wagers.against(mean - half, mean + half, sd)
        return self._wagers[key]

    def _capped(self, policy_model: str) -> str:
        known = {key.policy_model for key in self.detectors}
        return policy_model if policy_model in known or len(known) < MAX_POLICY_MODELS else OTHER


def in_fold_order(decisions: Iterable[Decision]) -> list[Decision]:
    """Order by trace, roll-up first, so that the same log always tells the same story."""
    return sorted(decisions, key=lambda d: (d.trace_index, d.stream.cohort != ALL, d.stream, d.severity))
