"""Scoring with a candidate what the champion has scored: newest traces first, a slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import nan
from typing import Protocol

import structlog

from monitor.domain.shadow import ShadowJob, ShadowScore, ShadowTrace
from monitor.errors import InvalidInput
from monitor.observe.scoring import RewardModel

SLICE_ROWS = 16  # scored at once: the worker's own batches wait for no more
RETRY_SECONDS = 60.0
log = structlog.get_logger(__name__)


class ShadowStore(Protocol):
    """Where shadow scores are kept. Every method raises `Unavailable` where the store is away."""

    def job(self) -> ShadowJob | None:
        """Return the job whose ensemble passed and is judged against the champion of now; None without any."""
        ...

    def unscored(self, job: ShadowJob, limit: int) -> Sequence[ShadowTrace]:
        """Return the newest traces that the champion has scored and the candidate has not."""
        ...

    def write(self, job: ShadowJob, scores: Sequence[ShadowScore]) -> None:
        """Keep *scores*; one that is there stays as it is."""
        ...


class Lease(Protocol):
    """Which replica holds the candidate: one, so that others keep their memory."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...


class Shadowing:
    """One thread's loop body. The candidate is in memory while its job waits for its promotion, and no longer."""

    def __init__(
        self,
        store: ShadowStore,
        lease: Lease,
        load: Callable[[ShadowJob], RewardModel],
        *,
        turn_of: AbstractContextManager[object],
        traces: int,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._lease = lease
        self._load = load
        self._turn_of = turn_of  # of the device, which the champion uses too
        self._traces = traces
        self._clock = clock
        self._loaded: tuple[str, RewardModel] | None = None
        self._not_before = 0.0  # after trouble

    def turn(self) -> bool:
        """Score a slice; return whether there is more to score at once."""
        job = self._store.job()
        if job is None or self._clock() < self._not_before or not self._lease.acquire():
            self._let_go()
            return False
        wanted = min(SLICE_ROWS, self._traces - job.traces)
        found = self._store.unscored(job, wanted) if wanted > 0 else ()
        if not found:
            return False
        try:
            scores = self._score(job, found)
        except (InvalidInput, OSError, RuntimeError, MemoryError) as error:  # torch has no memory by a RuntimeError
            log.warning("shadow_waits", job=job.job_id, version=job.version, error=str(error))
            self._not_before = self._clock() + RETRY_SECONDS
            self._let_go()
            self._lease.release()  # another replica may have the files, or the memory
            return False
        self._store.write(job, scores)
        return len(found) == wanted and job.traces + len(found) < self._traces

    def close(self) -> None:
        self._let_go()
        self._lease.release()

    def _score(self, job: ShadowJob, traces: Sequence[ShadowTrace]) -> list[ShadowScore]:
        if self._loaded is None or self._loaded[0] != job.version:
            self._loaded = None
            self._loaded = job.version, self._load(job)
            log.info("shadow_loaded", job=job.job_id, version=job.version)
        with self._turn_of:
            rewards = self._loaded[1].score([(trace.messages, trace.response) for trace in traces])
        return [
            ShadowScore(trace, nan, nan) if reward is None else ShadowScore(trace, reward.mean, reward.disagreement)
            for trace, reward in zip(traces, rewards, strict=True)
        ]

    def _let_go(self) -> None:
        if self._loaded is not None:
            log.info("shadow_ended", version=self._loaded[0])
        self._loaded = None
