"""What one checkpoint holds, and what keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from monitor.domain.label import Label, LabelOutcome
from monitor.domain.trace import Preference
from monitor.ingest.join_call import Held
from monitor.ingest.offset import StoredOffset
from monitor.ingest.record import Position, TopicPartition
from monitor.ingest.route import Rejected
from monitor.observe.step import Observed
from monitor.telemetry.intake import Missing


class DuplicateTrace(Exception):
    """A trace id of the batch was stored since it was looked up: look again and rebuild the batch."""


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets a checkpoint covers in one partition: from the stored next offset to the new one, and in which log."""

    start: int
    stop: int
    topic_id: str | None = None
    leader_epoch: int | None = None  # of the last record before `stop`
    bad_run: int = 0  # invalid records in a row that end before `stop`


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that becomes true together."""

    spans: Mapping[TopicPartition, Span]
    observed: Observed
    positions: Sequence[Position]  # of `observed.traces`, in the same order
    preferences: Sequence[tuple[Preference, str]]  # with the cohort's name
    duplicates: int
    dead_letters: Mapping[str, int]  # by reason; durable in their topic already
    skipped: Mapping[str, int] = field(default_factory=dict)  # by reason
    labels: Sequence[Label] = ()
    waits: Sequence[Held] = ()  # parts that came just now and wait for others
    done: Sequence[int] = ()  # ids of parts that waited and are over
    aliases: Sequence[tuple[str, str]] = ()  # a span that is part of a stored call, the call: both by id
    rejected: Sequence[Rejected] = ()  # records of calls that are unsound when they are put together
    incomplete: Mapping[Missing, int] = field(default_factory=dict)  # calls whose time to wait was over


@dataclass(frozen=True, slots=True)
class Waiting:
    """Parts that were stored to wait, all of each request among them."""

    parts: Sequence[Held] = ()
    ended: frozenset[str] = frozenset()  # requests whose parts wait no longer, for there are too many


class FragmentStore(Protocol):
    """Parts of calls that wait for others. Every method raises `Unavailable` where the store is away."""

    def waiting_parts(self, traces: Sequence[str]) -> list[Held]:
        """Return what waits of the requests *traces*, in the order in which it came."""
        ...

    def due_parts(self, excess: int) -> Waiting:
        """Return requests that are due to be looked at again, each to one worker at a time.

        Those of the *excess* parts that have waited longest are ended.
        """
        ...

    def count_waiting(self) -> tuple[int, float]:
        """Return how many parts wait, and for how many seconds the oldest has."""
        ...


class CheckpointStore(FragmentStore, Protocol):
    """Durable state of the worker. Every method raises `Unavailable` where the store is away."""

    def stored_offsets(self) -> dict[TopicPartition, StoredOffset]:
        """Return what is stored of every partition the group has ever begun."""
        ...

    def begin(self, offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        """Store first offsets for partitions that have none; those that have one keep it.

        A row without a topic id takes the one that is given.
        """
        ...

    def known_traces(self, trace_ids: Sequence[str]) -> set[str]:
        """Return which of *trace_ids* are stored."""
        ...

    def last_counted(self, keys: Iterable[bytes]) -> dict[bytes, datetime]:
        """Return when each known repeat key was last counted."""
        ...

    def write(self, checkpoint: Checkpoint) -> Sequence[LabelOutcome]:
        """Commit *checkpoint* in one transaction, or nothing of it; return what became of each of its labels.

        Raises `Fenced` where a partition's stored offset is not the span's start, and
        `DuplicateTrace` where another worker stored one of the traces meanwhile.
        """
        ...
