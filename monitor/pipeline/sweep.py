"""The second look at parts that wait: what others have stored meanwhile, and what waits no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog

from monitor.errors import Unavailable
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.checkpoint import Checkpoint, CheckpointStore, DuplicateTrace, Waiting
from monitor.telemetry.metrics import Metrics

SWEEP_SECONDS = 1.0
COUNT_SECONDS = 5.0  # between two counts of all that waits
ENDED_PARTS = 2000  # at a time, beyond the bound
TURN_SECONDS = 5.0  # records wait no longer than this for a sweep
log = structlog.get_logger(__name__)


class Sweep:
    """Makes calls of what waits in the store, and keeps it within its bound.

    A turn that fails is not tried again: what it claimed is due again by itself.
    """

    def __init__(
        self,
        builder: BatchBuilder,
        store: CheckpointStore,
        metrics: Metrics,
        *,
        max_fragments: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._builder = builder
        self._store = store
        self._metrics = metrics
        self._max_fragments = max_fragments
        self._clock = clock
        self._due = 0.0
        self._count_due = 0.0
        self._excess = 0

    def is_due(self) -> bool:
        return self._clock() >= self._due

    def turn(self) -> Iterator[Checkpoint]:
        """Look at all that is due; yield what was stored."""
        started = self._clock()
        try:
            if started >= self._count_due:
                waiting_parts, oldest_seconds = self._store.count_waiting()
                self._metrics.joins.show_waiting(waiting_parts, oldest_seconds)
                self._excess = max(0, waiting_parts - self._max_fragments)
                if self._excess:
                    log.warning("too_many_fragments", waiting=waiting_parts, max_fragments=self._max_fragments)
                self._count_due = started + COUNT_SECONDS
            while self._clock() - started < TURN_SECONDS:
                ended = min(self._excess, ENDED_PARTS)
                waiting = self._store.due_parts(ended)
                if not waiting.parts:
                    break
                self._excess -= ended
                yield from self._join(waiting)
        except Unavailable as reason:
            log.warning("sweep_waits", reason=str(reason))
        finally:
            self._due = self._clock() + SWEEP_SECONDS

    def _join(self, waiting: Waiting) -> Iterator[Checkpoint]:
        while True:
            checkpoint = self._builder.build_waiting(waiting)
            if checkpoint is None:
                return
            try:
                self._store.write(checkpoint)
            except DuplicateTrace:  # another worker stored it first, and deleted its parts with it
                traces = sorted({item.part.trace for item in waiting.parts})
                waiting = Waiting(self._store.waiting_parts(traces), waiting.ended)
            else:
                yield checkpoint
                return
