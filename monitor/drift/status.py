"""A stream's numbers beside its baseline's, as operators see them."""

from __future__ import annotations

from collections.abc import Mapping
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

    def streams(self) -> tuple[StreamStatus, ...]:
        """Return the streams of the active baseline, sorted."""
        active = self._active()
        if active is None:
            return ()
        beside = Beside(active.baseline)
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


class Beside:
    """One baseline beside streams' numbers; what its laws hold of a policy model is looked up once for all of them."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._strata: dict[tuple[str, str, str], Mapping[str, Stratum]] = {}

    def status(self, key: StreamKey, numbers: StreamNumbers) -> StreamStatus | None:
        """Put a stream's numbers beside its baseline's; None where the baseline holds no law for it."""
        if key == shift_key(key.cohort):
            return StreamStatus(
                key=key,
                observations=numbers.observations,
                mean=numbers.mean,
                baseline_mean=0.0,
                baseline_lower=0.0,
                baseline_upper=0.0,
                evidence_log=numbers.evidence_log,
                last_timestamp=numbers.last_timestamp,
                unit=INPUT_SHIFT.unit,
            )
        law = self._baseline.get(key.signal, key.scorer_version)
        if law is None:
            return None
        series = (key.signal, key.scorer_version, key.policy_model)
        if series not in self._strata:
            self._strata[series] = law.for_policy(key.policy_model)
        return status_by_law(key, law, numbers, self._strata[series])


def status_of(key: StreamKey, baseline: Baseline, numbers: StreamNumbers) -> StreamStatus | None:
    """Put one stream's numbers beside *baseline*'s, as `Beside` does for many."""
    return Beside(baseline).status(key, numbers)


def status_by_law(
    key: StreamKey, law: SignalBaseline, numbers: StreamNumbers, strata: Mapping[str, Stratum] | None = None
) -> StreamStatus:
    """Put a stream's numbers beside its law's, in the signal's unit; *strata* are those of its policy model.

    The baseline's mean is that of the stream's strata, by their share of the window; its bounds lie
    two standard errors of that mean away.
    """
    strata = law.for_policy(key.policy_model) if strata is None else strata
    chosen = [strata[key.cohort]] if key.cohort in strata else list(strata.values())
    total = sum(row.observations for row in chosen)
    baseline_mean = sum(row.mean * row.observations for row in chosen) / total
    error = sum((row.standard_error * row.observations / total) ** 2 for row in chosen) ** 0.5
    low, high = law.bounds
    return StreamStatus(
        key=key,
        observations=numbers.observations,
        mean=numbers.mean,
        baseline_mean=baseline_mean,
        baseline_lower=max(baseline_mean - 2.0 * error, low),
        baseline_upper=min(baseline_mean + 2.0 * error, high),
        evidence_log=numbers.evidence_log,
        last_timestamp=numbers.last_timestamp,
        unit=law.unit,
        is_steady=may_page(followed_among(strata, key.cohort) or chosen),
    )
