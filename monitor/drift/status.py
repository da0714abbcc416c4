"""A stream's numbers beside its baseline's, as operators see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from monitor.domain.stream import StreamKey, StreamNumbers, StreamStatus
from monitor.drift.asked import shift_key
from monitor.drift.baseline import Baseline, SignalBaseline, Stratum, followed_among, may_page
from monitor.drift.stored import ActiveBaseline
from monitor.drift.summary import BaselineLaws, kinds_of, summarise
from monitor.signals.input_shift import INPUT_SHIFT


class StreamStore(Protocol):
    """What is kept of the streams. Every method raises `Unavailable` where the store is away."""

    def active(self, known: ActiveBaseline | None) -> ActiveBaseline | None:
        """Return the active baseline; *known* itself, unread, where it is that one as it stands."""
        ...

    def numbers(self, baseline_id: int) -> Mapping[StreamKey, StreamNumbers]: ...

    def seen_cohorts(self) -> set[str]:
        """Return every cohort that is kept apart."""
        ...

    def seen_scorers(self) -> set[tuple[str, str]]:
        """Return signal and scorer of the latest observations; of signals that a baseline may hold."""
        ...


class Streams:
    """The active baseline's streams beside it, and what it says nothing of; may be asked from many threads."""

    def __init__(self, store: StreamStore) -> None:
        self._store = store
        self._known: ActiveBaseline | None = None
        self._beside: Beside | None = None

    def streams(self) -> tuple[StreamStatus, ...]:
        """Return the streams of the active baseline, sorted."""
        active = self._active()
        if active is None:
            return ()
        beside = self._beside
        if beside is None or beside.baseline is not active.baseline:
            beside = self._beside = Beside(active.baseline)
        return tuple(
            status
            for key, numbers in sorted(self._store.numbers(active.baseline_id).items())
            if (status := beside.status(key, numbers)) is not None
        )

    def unwatched_cohorts(self) -> tuple[str, ...]:
        """Return the cohorts that were seen but have no law in the active baseline: nothing is said of them."""
        active = self._active()
        if active is None:
            return ()
        watched = {row.cohort for law in active.baseline.signals for row in law.strata}
        return tuple(sorted(self._store.seen_cohorts() - watched))

    def unwatched_scorers(self) -> tuple[tuple[str, str], ...]:
        """Return signal and scorer of the latest observations for which the active baseline holds no law.

        So it is after a roll back to a model that a baseline frozen since has not seen, and where the
        scorer itself was replaced: nothing is said of its values until a baseline is frozen on them.
        """
        active = self._active()
        if active is None:
            return ()
        return tuple(sorted(self._store.seen_scorers() - {law.key for law in active.baseline.signals}))

    def laws(self) -> BaselineLaws | None:
        """Return what the active baseline holds; None where there is none."""
        active = self._active()
        if active is None:
            return None
        baseline = active.baseline
        return BaselineLaws(active.baseline_id, active.revision, summarise(baseline), kinds_of(baseline))

    def _active(self) -> ActiveBaseline | None:
        self._known = self._store.active(self._known)
        return self._known


@dataclass(frozen=True, slots=True)
class Expected:
    """What a baseline says of one stream, in its signal's unit."""

    mean: float
    lower: float
    upper: float
    unit: str
    is_steady: bool


class Beside:
    """One baseline beside streams' numbers; what it says of a stream is looked up once.

    Threads that find nothing yet look it up twice, and find the same.
    """

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline
        self._series: dict[tuple[str, str, str], tuple[Mapping[str, Stratum], tuple[float, float]]] = {}
        self._expected: dict[StreamKey, Expected | None] = {}

    def status(self, key: StreamKey, numbers: StreamNumbers) -> StreamStatus | None:
        """Put a stream's numbers beside its baseline's; None where the baseline holds no law for it."""
        if key not in self._expected:
            self._expected[key] = self._expect(key)
        expected = self._expected[key]
        return None if expected is None else status_beside(key, expected, numbers)

    def _expect(self, key: StreamKey) -> Expected | None:
        if key == shift_key(key.cohort):
            return Expected(0.0, 0.0, 0.0, INPUT_SHIFT.unit, is_steady=True)
        law = self.baseline.get(key.signal, key.scorer_version)
        if law is None:
            return None
        series = (key.signal, key.scorer_version, key.policy_model)
        if series not in self._series:
            self._series[series] = law.for_policy(key.policy_model), law.bounds
        strata, bounds = self._series[series]
        return expected_by(strata, key.cohort, bounds=bounds, unit=law.unit)


def status_of(key: StreamKey, baseline: Baseline, numbers: StreamNumbers) -> StreamStatus | None:
    """Put one stream's numbers beside *baseline*'s, as `Beside` does for many."""
    return Beside(baseline).status(key, numbers)


def status_by_law(key: StreamKey, law: SignalBaseline, numbers: StreamNumbers) -> StreamStatus:
    expected = expected_by(law.for_policy(key.policy_model), key.cohort, bounds=law.bounds, unit=law.unit)
    return status_beside(key, expected, numbers)


def status_beside(key: StreamKey, expected: Expected, numbers: StreamNumbers) -> StreamStatus:
    return StreamStatus(
        key=key,
        observations=numbers.observations,
        mean=numbers.mean,
        baseline_mean=expected.mean,
        baseline_lower=expected.lower,
        baseline_upper=expected.upper,
        evidence_log=numbers.evidence_log,
        last_timestamp=numbers.last_timestamp,
        unit=expected.unit,
        is_steady=expected.is_steady,
        stream_id=numbers.stream_id,
    )


def expected_by(strata: Mapping[str, Stratum], cohort: str, *, bounds: tuple[float, float], unit: str) -> Expected:
    """Return what a policy model's *strata*, by cohort, say of one cohort's stream, or of the roll-up.

    The mean is that of the stream's strata, by their share of the window; its bounds lie two standard errors
    of that mean away, within those of the signal's values.
    """
    chosen = [strata[cohort]] if cohort in strata else list(strata.values())
    total = sum(row.observations for row in chosen)
    mean = sum(row.mean * row.observations for row in chosen) / total
    error = sum((row.standard_error * row.observations / total) ** 2 for row in chosen) ** 0.5
    low, high = bounds
    return Expected(
        mean=mean,
        lower=max(mean - 2.0 * error, low),
        upper=min(mean + 2.0 * error, high),
        unit=unit,
        is_steady=may_page(followed_among(strata, cohort) or chosen),
    )
