"""Which records the monitor's own replay has written: a header may say anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from monitor.errors import Unavailable
from monitor.ingest.letter import replay_token
from monitor.ingest.record import Record, TopicPartition

MAX_REMEMBERED = 1024  # replays

Replays = Callable[[str], Mapping[str, int]]  # by its token: the records a replay wrote by topic, {} for none


class OwnReplays:
    """Tells them by a token, of which the database keeps a hash, and by their number.

    So whoever copies a token from the topic passes off as many records at most as the replay wrote there.
    """

    def __init__(self, written: Replays) -> None:
        """*written* may raise `Unavailable`."""
        self._written = lru_cache(MAX_REMEMBERED)(written)
        self._counted: dict[tuple[str, str], int] = {}  # by token and topic
        self._seen: dict[tuple[str, TopicPartition], int] = {}  # the last offset: what is read again counts once

    def claim(self, record: Record) -> bool:
        """Say whether *record* is one of a replay's, and count it; all that say so are while the database is away."""
        token = replay_token(record)
        if token is None:
            return False
        try:
            written = self._written(token).get(record.topic, 0)
        except Unavailable:
            return True  # nothing of its batch is stored before it is back
        if not written:
            return False
        replay, where = (token, record.topic), (token, record.topic_partition)
        if record.offset > self._seen.get(where, -1):
            self._seen[where] = record.offset
            self._counted[replay] = self._counted.get(replay, 0) + 1
        return self._counted[replay] <= written
