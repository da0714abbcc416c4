"""How far the reward goes together with length and format: the signs of a policy that games its reward model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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

    @property
    def has_moved(self) -> bool:
        """Say whether the two intervals lie apart, which is a sign to look at and no alarm."""
        before, now = self.baseline, self.current
        return before is not None and now is not None and (now.lower > before.upper or now.upper < before.lower)


class Correlations:
    """The correlations of now beside those of the active baseline's window; read from the log when asked."""

    def __init__(self, log: PlacedLog, baseline: Callable[[], BaselineSummary | None]) -> None:
        self._log = log
        self._baseline = baseline

    def correlations(self) -> tuple[RewardCorrelation, ...]:
        """Return a row for each policy model, scorer and signal that either window tells of, sorted."""
        frozen, end = self._baseline(), self._log.next_place()
        since: int = 0
        before: Mapping[Key, RankCorrelation] = {}
        if frozen is not None:
            since = frozen.stop_place
            before = correlations_of(self._window(frozen.first_place, frozen.stop_place))
        now = correlations_of(self._window(since, end))
        return tuple(RewardCorrelation(*key, before.get(key), now.get(key)) for key in sorted({*before, *now}))

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
    found: dict[Key, RankCorrelation] = {}
    for (name, model), scorers in held.items():
        if name != REWARD.name:
            continue
        for scorer, parts in scorers.items():
            reward = joined(parts)
            for signal in COMPARED:
                versions = [joined(own) for own in held.get((signal, model), {}).values()]
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
