"""The records of several partitions in the order of time, while a backlog is read."""

from __future__ import annotations

import heapq
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from monitor.ingest.record import Record, TopicPartition, size_of

PATIENCE_SECONDS = 2.0  # a partition that is behind and brings nothing for so long is waited for no more
MAX_HELD_RECORDS = 2000  # of one partition
MAX_HELD_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class _Lane:
    """The records of one partition that were fetched and not given out, with their times."""

    held: deque[tuple[int, Record]] = field(default_factory=deque)
    held_bytes: int = 0
    last_ms: int = -1  # of the last record that came; those to come are hardly older
    empty_since: float | None = None  # while more is to come
    full: bool = False

    @property
    def key(self) -> float:
        return self.held[0][0]


class TimeOrder:
    """Merges partitions by their records' timestamps, each partition in the order of its offsets.

    A partition that is behind is waited for before later records of others are given
    out; one that has nothing never is. What is held is bounded by `is_full`, which
    says whose records should not be fetched now. A record dated ahead counts as of
    now, so that no date holds its partition back for ever. Not thread safe.
    """

    def __init__(
        self, *, now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._lanes: defaultdict[TopicPartition, _Lane] = defaultdict(_Lane)
        self._now = now
        self._monotonic = monotonic

    def add(self, partition: TopicPartition, records: Iterable[Record]) -> None:
        """Hold *records* of one partition, which follow those that were added of it before."""
        latest = int(self._now() * 1000)
        lane = self._lanes[partition]
        last_ms, held = lane.last_ms, lane.held
        for record in records:
            if record.timestamp_ms >= 0:
                last_ms = min(record.timestamp_ms, latest)
            held.append((last_ms, record))
            lane.held_bytes += size_of(record)
        lane.last_ms, lane.empty_since = last_ms, None

    def pass_on(
        self, partition: TopicPartition, records: list[Record], behind: Collection[TopicPartition]
    ) -> list[Record] | None:
        """Give *records* out as they are where there is nothing to merge them with, else None: nothing was done."""
        if any(lane.held for lane in self._lanes.values()) or any(other != partition for other in behind):
            return None
        lane = self._lanes[partition]
        lane.empty_since = None
        if records[-1].timestamp_ms >= 0:
            lane.last_ms = min(records[-1].timestamp_ms, int(self._now() * 1000))
        return records

    def take(self, behind: Collection[TopicPartition], limit: int) -> list[Record]:
        """Give out at most *limit* records; *behind* are the partitions of which more is to be fetched."""
        awaited = self._awaited(behind)
        bound = min((self._lanes[partition].last_ms for partition in awaited), default=math.inf)
        heads = [(lane.key, partition) for partition, lane in self._lanes.items() if lane.held]
        heapq.heapify(heads)
        taken: list[Record] = []
        while heads and len(taken) < limit and heads[0][0] <= bound:
            _, partition = heapq.heappop(heads)
            lane = self._lanes[partition]
            until = min(bound, heads[0][0] if heads else math.inf)
            while lane.held and lane.held[0][0] <= until and len(taken) < limit:
                _, record = lane.held.popleft()
                lane.held_bytes -= size_of(record)
                taken.append(record)
            if lane.held:
                heapq.heappush(heads, (lane.key, partition))
            elif partition in behind:  # its next record may be the next of all
                bound = min(bound, lane.last_ms)
        return taken

    def is_full(self, partition: TopicPartition) -> bool:
        """Say whether enough of *partition* is held; once it was full, until half of it is given out."""
        lane = self._lanes[partition]
        share = max(len(lane.held) / MAX_HELD_RECORDS, lane.held_bytes / MAX_HELD_BYTES)
        lane.full = share > 0.5 if lane.full else share >= 1.0
        return lane.full

    def next_offset(self, partition: TopicPartition) -> int | None:
        """Return the offset of the first record that is held, None where none is."""
        lane = self._lanes.get(partition)
        return lane.held[0][1].offset if lane is not None and lane.held else None

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what is held of *partitions*: somebody reads it again."""
        for partition in partitions:
            self._lanes.pop(partition, None)

    def _awaited(self, behind: Collection[TopicPartition]) -> list[TopicPartition]:
        now = self._monotonic()
        awaited = []
        for partition in behind:
            lane = self._lanes[partition]
            if lane.held:
                continue
            lane.empty_since = now if lane.empty_since is None else lane.empty_since
            if now - lane.empty_since < PATIENCE_SECONDS:
                awaited.append(partition)
        return awaited
