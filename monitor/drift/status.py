"""A stream's numbers beside its baseline's, as operators see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from monitor.domain.stream import StreamKey, StreamNumbers, StreamStatus
from monitor.drift.asked import shift_key
from monitor.drift.baseline import Baseline, SignalBaseline, may_page
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
        return tuple(
            status
            for key, numbers in sorted(self._store.numbers(active.baseline_id).items())
            if (status := status_of(key, active.baseline, numbers)) is not None
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


def status_of(key: StreamKey, baseline: Baseline, numbers: StreamNumbers) -> StreamStatus | None:
    """Put a stream's numbers beside its baseline's; None where *baseline* holds no law for it."""
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
    law = baseline.get(key.signal, key.scorer_version)
    return None if law is None else status_by_law(key, law, numbers)


def status_by_law(key: StreamKey, law: SignalBaseline, numbers: StreamNumbers) -> StreamStatus:
    """Put a stream's numbers beside its law's, in the signal's unit.

    The baseline's mean is that of the stream's strata, by their share of the window; its bounds lie
    two standard errors of that mean away.
    """
    strata = law.for_policy(key.policy_model)
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
        stream_id=numbers.stream_id,
        is_steady=may_page(law.followed(key.cohort, key.policy_model) or chosen),
    )
