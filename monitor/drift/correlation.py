"""How far the reward goes together with length and format: the signs of a policy that games its reward model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from monitor.domain.observation import ObservationBatch, joined
from monitor.domain.signal import REWARD
from monitor.domain.view import BaselineSummary
from monitor.drift.log import ObservationLog
from monitor.signals.flattery import AGREEMENT, PRAISE
from monitor.signals.formatting import BOLD, EMOJI, HEADINGS, LIST_SHARE, TABLE
from monitor.signals.hedging import CONFIDENCE, HEDGING
from monitor.signals.length import RESPONSE_LENGTH
from monitor.stats.rank_correlation import RankCorrelation, rank_correlation

KEPT_SECONDS = 60.0
WINDOW_PLACES = 10_000  # of the log that either side reads at most, the latest
# What reward models are known to favour; of these, those that are on are told.
COMPARED = tuple(
    signal.name
    for signal in (RESPONSE_LENGTH, LIST_SHARE, BOLD, HEADINGS, TABLE, EMOJI, PRAISE, AGREEMENT, HEDGING, CONFIDENCE)
)

Key = tuple[str, str, str]  # policy model, scorer of the reward, signal


class PlacedLog(ObservationLog, Protocol):
    def next_place(self) -> int:
        """Return the place after the last one that the log has given."""
        ...


@dataclass(frozen=True, slots=True)
class RewardCorrelation:
    """How the reward of one scorer goes with one signal on one policy model's answers, within cohorts."""

    policy_model: str
    scorer_version: str
    signal: str
    baseline: RankCorrelation | None  # in the baseline's window; None: too little is there, or it is all alike
    current: RankCorrelation | None  # in the latest traces since
    has_moved: bool  # the two intervals lie apart: a sign to look at, and no alarm

    @classmethod
    def of(cls, key: Key, baseline: RankCorrelation | None, current: RankCorrelation | None) -> RewardCorrelation:
        if baseline is None or current is None:
            return cls(*key, baseline, current, has_moved=False)
        apart = current.lower > baseline.upper or current.upper < baseline.lower
        return cls(*key, baseline, current, has_moved=apart)


class Correlations:
    """The correlations of now beside those of the active baseline's window; may be asked from many threads.

    What was read stands for `kept_seconds`, and the baseline's window is read once.
    """

    def __init__(
        self,
        log: PlacedLog,
        baseline: Callable[[], BaselineSummary | None],
        *,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._baseline = baseline
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._before: tuple[int, Mapping[Key, RankCorrelation]] | None = None  # by the baseline's number
        self._told: tuple[float, tuple[RewardCorrelation, ...]] | None = None

    def correlations(self) -> tuple[RewardCorrelation, ...]:
        """Return a row for each policy model, scorer and signal that either window tells of, sorted."""
        with self._lock:
            if self._told is None or self._clock() - self._told[0] >= self._kept_seconds:
                self._told = self._clock(), self._read()
            return self._told[1]

    def _read(self) -> tuple[RewardCorrelation, ...]:
        frozen, end = self._baseline(), self._log.next_place()
        before: Mapping[Key, RankCorrelation] = {}
        if frozen is not None:
            if self._before is None or self._before[0] != frozen.baseline_id:
                window = self._window(frozen.first_place, frozen.stop_place)
                self._before = frozen.baseline_id, correlations_of(window)
            before = self._before[1]
        now = correlations_of(self._window(0 if frozen is None else frozen.stop_place, end))
        return tuple(RewardCorrelation.of(key, before.get(key), now.get(key)) for key in sorted({*before, *now}))

    def _window(self, start: int, stop: int) -> Iterable[ObservationBatch]:
        return self._log.window(max(start, stop - WINDOW_PLACES), stop, {REWARD.name, *COMPARED})


def correlations_of(batches: Iterable[ObservationBatch]) -> Mapping[Key, RankCorrelation]:
    """Return how rewards go with the signals that were observed on the same subjects, by model, scorer and signal.

    Of a signal's versions the one with most observations is taken.
    """
    held: dict[tuple[str, str], dict[str, list[ObservationBatch]]] = {}
    for batch in batches:
        of_model = held.setdefault((batch.series.signal, batch.series.policy_model), {})
        of_model.setdefault(batch.series.scorer_version, []).append(batch)
    rewards = [
        (model, scorer, joined(parts))
        for (name, model), scorers in held.items()
        if name == REWARD.name
        for scorer, parts in scorers.items()
    ]
    found: dict[Key, RankCorrelation] = {}
    for (model, scorer, reward), signal in product(rewards, COMPARED):
        versions = [joined(parts) for parts in held.get((signal, model), {}).values()]
        other = max(versions, key=lambda one: len(one.values), default=None)
        told = None if other is None else _together(reward, other)
        if told is not None:
            found[model, scorer, signal] = told
    return found


def _together(reward: ObservationBatch, other: ObservationBatch) -> RankCorrelation | None:
    _, first, second = np.intersect1d(reward.places, other.places, assume_unique=True, return_indices=True)
    strata = reward.cohort_codes[first].astype(np.int64)
    return rank_correlation(reward.values[first], other.values[second], strata)


def present_of(rows: Iterable[RewardCorrelation]) -> tuple[RewardCorrelation, ...]:
    """Return the rows of the policy model and scorer that most of the latest traces have."""
    held = tuple(rows)
    told = max(held, key=lambda row: 0 if row.current is None else row.current.pairs, default=None)
    if told is None:
        return ()
    return tuple(
        row for row in held if (row.policy_model, row.scorer_version) == (told.policy_model, told.scorer_version)
    )


def gauges_of(rows: Iterable[RewardCorrelation]) -> dict[tuple[str, ...], float]:
    """Return what `monitor_reward_correlation` shows: by signal, window and bound, of the present alone."""
    return {
        (row.signal, window, bound): value
        for row in present_of(rows)
        for window, told in (("baseline", row.baseline), ("current", row.current))
        if told is not None
        for bound, value in (("estimate", told.estimate), ("lower", told.lower), ("upper", told.upper))
    }
