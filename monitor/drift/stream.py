"""One stream's evidence and episode, and how observations carry them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Recovery, Severity
from monitor.domain.stream import StreamKey
from monitor.drift.daily import StreamDay
from monitor.drift.detector import Detector, Evidence
from monitor.stats.edetector import (
    BETS,
    SMALLEST_UPPER,
    Crossing,
    NullIntervals,
    State,
    Threshold,
    component_weights,
    fold,
)

TIERS: tuple[Severity, ...] = (Severity.WARNING, Severity.ALERT)  # from "changed at all" to "by more than is accepted"
LEAST_EVIDENCE_LOG = -1.0  # told of a stream, in logarithms of A: less is nothing all the same
RETURN_E = 1000.0  # the evidence, by observations, that a stream is back inside of what is accepted


@dataclass(frozen=True, slots=True)
class Episode:
    """A stream's alarm that is still open.

    An alert, on one channel and one side, ends when `returned` says that the mean is back inside the page tier's
    interval. A warning is looked at again every `patience` observations, the last time at `since`.
    """

    severity: Severity
    since: int  # observations of the stream
    patience: int
    up: bool
    channel: int
    returned: State


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream between two entries of the log."""

    evidence: Evidence
    observations: int  # since the baseline was frozen
    mean: float  # of the observations so far, in the signal's unit
    last_timestamp: datetime
    day: StreamDay
    episode_number: int = 0  # of the episode that is open, or else of the next one
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A stream's evidence reached a threshold."""

    stream: StreamKey
    episode: int
    severity: Severity
    direction: Direction
    channel: int  # of the signal's law: the one whose best bet won most
    place: int
    onset_place: int
    observations: int
    evidence_log: float  # log e / log A


@dataclass(frozen=True, slots=True)
class Rows:
    """A stream's part of one batch; arrays of the same length."""

    channels: NDArray[np.float64]  # (n, C)
    null: NullIntervals
    places: NDArray[np.int64]
    bets: NDArray[np.float64]  # (n, components): what each does to the stream's evidence

    @classmethod
    def of(
        cls, detector: Detector, channels: NDArray[np.float64], null: NullIntervals, places: NDArray[np.int64]
    ) -> Rows:
        return cls(channels, null, places, detector.bets(channels, null))

    def __len__(self) -> int:
        return len(self.places)

    def cut(self, rows: slice) -> Rows:
        return Rows(self.channels[rows], self.null.rows(rows), self.places[rows], self.bets[rows])


@dataclass(frozen=True, slots=True)
class Follower:
    """What carries a stream on: its detector, what its evidence must reach, and how patient a warning is."""

    key: StreamKey
    detector: Detector
    run_lengths: Mapping[Severity, float]  # A of each severity that the stream may reach
    patience: int

    def advance(self, stream: Stream, rows: Rows) -> tuple[Stream, list[Decision | Recovery]]:
        """Fold *rows*, stopping at each that changes the episode: the next ones count under the new state."""
        outcomes: list[Decision | Recovery] = []
        while len(rows):
            stream, taken, found = self._stretch(stream, rows)
            outcomes += found
            rows = rows.cut(slice(taken, None))
        return stream, outcomes

    def evidence_log(self, stream: Stream) -> float:
        """Return log e / log A of the severest tier it may reach: 1 is the alarm, 0 and below is nothing."""
        tier = max(number for number in range(self.detector.tiers) if TIERS[number] in self.run_lengths)
        log_e = float(self.detector.log_e(stream.evidence)[tier])  # -inf where nothing was staked so far
        return max(log_e / float(np.log(self.run_lengths[TIERS[tier]])), LEAST_EVIDENCE_LOG)

    def _stretch(self, stream: Stream, rows: Rows) -> tuple[Stream, int, list[Decision | Recovery]]:
        """Fold *rows* as far as the episode stays what it is; return how many that were and what came of it."""
        episode = stream.episode
        if episode is not None and episode.severity is Severity.WARNING:
            rows = rows.cut(slice(max(episode.since + episode.patience - stream.observations, 1)))
        waiting = self._waiting(None if episode is None else episode.severity)
        evidence, crossings = self._fold(stream.evidence, rows, waiting)
        returned, back = (None, None) if episode is None else self._return(episode, rows)
        first = min([crossing.row for crossing in crossings] + ([] if back is None else [back]), default=len(rows) - 1)
        if first + 1 < len(rows):
            rows = rows.cut(slice(first + 1))
            evidence, crossings = self._fold(stream.evidence, rows, waiting)
            returned, back = (None, None) if episode is None else self._return(episode, rows)
        after = replace(stream, evidence=evidence, observations=stream.observations + len(rows))
        if crossings:
            after = replace(after, episode=self._begun(after, crossings[-1]))
            return after, len(rows), [self._decision(after, crossing, rows) for crossing in crossings]
        if episode is None:
            return after, len(rows), []
        calm = evidence
        if episode.severity is Severity.ALERT:
            over, calm = back is not None, self.detector.empty()
        else:
            due = after.observations - episode.since >= episode.patience
            reached = self.detector.log_e(evidence)[0] >= np.log(self.run_lengths[Severity.WARNING])
            over = due and not reached
            episode = replace(episode, since=after.observations) if due else episode
        if not over:
            assert returned is not None
            return replace(after, episode=replace(episode, returned=returned)), len(rows), []
        recovery = Recovery(self.key, stream.episode_number, int(rows.places[-1]))
        number = stream.episode_number + 1
        return replace(after, evidence=calm, episode=None, episode_number=number), len(rows), [recovery]

    def _waiting(self, reached: Severity | None) -> list[Threshold]:
        """Return what the evidence of a stream that *reached* a severity may still reach."""
        beyond = TIERS[: self.detector.tiers][0 if reached is None else TIERS.index(reached) + 1 :]
        return [
            Threshold(severity.value, self.run_lengths[severity], TIERS.index(severity))
            for severity in beyond
            if severity in self.run_lengths
        ]

    def _fold(self, evidence: Evidence, rows: Rows, waiting: list[Threshold]) -> tuple[Evidence, list[Crossing]]:
        folded: tuple[Evidence, list[Crossing]] = self.detector.fold(
            evidence, rows.bets, stakes=rows.null.stakes, places=rows.places, thresholds=waiting
        )
        return folded

    def _return(self, episode: Episode, rows: Rows) -> tuple[State, int | None]:
        """Bet that an alert's channel is back inside; return the evidence and the row at which it is enough."""
        if episode.severity is not Severity.ALERT:
            return episode.returned, None
        null, at = rows.null, (slice(None), slice(-1, None), slice(episode.channel, episode.channel + 1))
        # The alarm was never asked for more than these: a bound outside, of some prompts, must not forbid the way back.
        upper, lower = np.maximum(null.upper[at], SMALLEST_UPPER), np.minimum(null.lower[at], 1.0 - SMALLEST_UPPER)
        inside = NullIntervals(
            lower=upper if episode.up else np.full_like(lower, -1.0),
            upper=np.full_like(upper, 2.0) if episode.up else lower,
            sd=null.sd[:, episode.channel : episode.channel + 1],
            stakes=null.stakes,
            beyond=null.beyond,
        )
        increments = inside.increments(rows.channels[:, episode.channel : episode.channel + 1])
        enough, weights = (Threshold("returned", RETURN_E),), component_weights((1.0,), 1)
        state, crossings = fold(
            episode.returned, increments, rows.places, weights=weights, thresholds=enough, starts=null.stakes
        )
        return state, crossings[0].row if crossings else None

    def _begun(self, stream: Stream, crossing: Crossing) -> Episode:
        return Episode(
            severity=Severity(crossing.threshold.name),
            since=stream.observations,
            patience=self.patience,
            up=crossing.up,
            channel=crossing.channel,
            returned=State.empty(2 * BETS),
        )

    def _decision(self, stream: Stream, crossing: Crossing, rows: Rows) -> Decision:
        return Decision(
            stream=self.key,
            episode=stream.episode_number,
            severity=Severity(crossing.threshold.name),
            direction=Direction.UP if crossing.up else Direction.DOWN,
            channel=crossing.channel,
            place=int(rows.places[crossing.row]),
            onset_place=crossing.onset,
            observations=stream.observations,
            evidence_log=crossing.log_e / float(np.log(crossing.threshold.e)),
        )
