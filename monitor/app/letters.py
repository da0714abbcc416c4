"""The newest dead letters for a page, read from their topic now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from math import inf

from monitor.ingest.kafka_letters import KafkaLetters
from monitor.ingest.letter import Letter, LetterFilter, LetterKey, LetterRow
from monitor.settings.kafka import KafkaSettings

READ_RECORDS = 1000  # of each partition, the newest; the command line reads them all
KEPT_SECONDS = 10.0  # so that nobody who looks makes the broker send them again and again


class NewestLetters:
    """`web.routes.letter.Letters`; may be asked from many threads. What the records held is not kept."""

    def __init__(self, read: Callable[[], Iterator[Letter]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: list[tuple[Letter, LetterRow]] = []
        self._due = -inf

    @classmethod
    def of(cls, kafka: KafkaSettings) -> NewestLetters:
        def read() -> Iterator[Letter]:
            with closing(KafkaLetters(kafka)) as letters:
                yield from letters.newest(READ_RECORDS)

        return cls(read)

    def letters(self, wanted: LetterFilter) -> Sequence[tuple[LetterKey, LetterRow]]:
        with self._lock:
            if self._clock() >= self._due:
                bare = [(replace(one, key=None, value=b"", headers=()), LetterRow.of(one)) for one in self._read()]
                self._known, self._due = bare, self._clock() + KEPT_SECONDS
            known = self._known
        return [(letter.sort_key, row) for letter, row in known if wanted.admits(letter)]
