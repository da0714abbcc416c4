"""Stored offsets, the log they belong to, and where reading begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """The next offset of a partition, and what names the log it counts in.

    A topic that is created again has another `topic_id`. A log that was cut and has
    grown anew holds records of a later leader epoch where the old ones were.
    """

    next_offset: int
    topic_id: str | None = None  # None where the broker does not tell (before Kafka 2.8), and in rows of old
    leader_epoch: int | None = None  # of the last record before `next_offset`
    bad_run: int = 0  # invalid records in a row that end before `next_offset`


@dataclass(frozen=True, slots=True)
class StartOffset:
    """Where reading a partition begins.

    `stored` is the offset the owner of the checkpoints knew, None where it knew
    none; it differs from `offset` where the log no longer holds it.
    """

    offset: int
    stored: int | None
    topic_id: str | None = None
    leader_epoch: int | None = None  # of the record before `offset`, where that was read from this log
    replaced: bool = False  # the log is not the one that was read: what was lost cannot be counted

    @property
    def lost(self) -> int:
        """Return how many offsets were deleted unread."""
        return 0 if self.stored is None or self.replaced else max(0, self.offset - self.stored)


def plan_start(
    stored: StoredOffset | None,
    *,
    first: int,
    end: int,
    reset: Literal["earliest", "latest"],
    topic_id: str | None = None,
) -> StartOffset:
    """Say where to begin in the log *topic_id*, which holds the offsets from *first* to before *end*.

    A stored offset beyond *end* stays: a leader just elected may not know its end yet,
    and the fetch itself tells when the log really ends before it.
    """
    if stored is None:
        return StartOffset(first if reset == "earliest" else end, None, topic_id)
    if None not in {stored.topic_id, topic_id} and stored.topic_id != topic_id:
        return StartOffset(first, stored.next_offset, topic_id, replaced=True)
    if stored.next_offset < first:
        return StartOffset(first, stored.next_offset, topic_id)
    return StartOffset(stored.next_offset, stored.next_offset, topic_id, stored.leader_epoch)
