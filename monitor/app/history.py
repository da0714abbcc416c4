"""What the leader does so that a stream's past can be drawn, from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import Engine

from monitor.app.leader import Duty
from monitor.drift.rollup import Bucket, BucketKey, roll_up
from monitor.postgres.rollups import PostgresRollups, Unread
from monitor.settings.root import Settings

STEP_PLACES = 20_000  # of the log in one turn: what is behind is caught up in so many at a time
PAUSE_SECONDS = 10.0  # between two steps where all is read: each writes every stream's row once


class RollupStore(Protocol):
    def unread(self, *, max_places: int) -> Unread | None: ...

    def save(self, unread: Unread, buckets: Mapping[BucketKey, Bucket]) -> None: ...


class RollUp:
    """Add the log's next entries to the roll-ups, a step a turn; return whether more is there."""

    def __init__(self, store: RollupStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._due = clock()

    def __call__(self) -> bool:
        if self._clock() < self._due:
            return False
        unread = self._store.unread(max_places=STEP_PLACES)
        if unread is not None:
            self._store.save(unread, roll_up(unread.seen, since=unread.since))
        more = unread is not None and unread.more
        self._due = self._clock() + (0.0 if more else PAUSE_SECONDS)
        return more


def history_duties(settings: Settings, fenced: Engine) -> list[Duty]:
    return [Duty("roll_up", 0.0, RollUp(PostgresRollups(fenced, days=settings.retention.rollup_days)))]
