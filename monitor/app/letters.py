"""Dead letters: the newest for a page, read now and then; one with its record; and the way back to their topics."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import inf

from sqlalchemy import Engine

from monitor.domain.order import Actor
from monitor.errors import Conflict, InvalidInput, Unavailable
from monitor.ingest.kafka_letters import KafkaLetters, KafkaReplay
from monitor.ingest.letter import Flaw, Letter, LetterFilter, LetterKey, LetterRow, Place, Replay, ReplayPlan
from monitor.ingest.route import routes_of
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.engine import transaction
from monitor.postgres.erasure import PostgresErasures
from monitor.postgres.replays import PostgresReplays
from monitor.retraining.records import Author
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
    def of(cls, engine: Engine, kafka: KafkaSettings) -> NewestLetters:
        def read() -> Iterator[Letter]:
            with open_letters(engine, kafka) as letters:
                yield from letters.newest(READ_RECORDS)

        return cls(read)

    def letters(self, wanted: LetterFilter) -> Sequence[tuple[LetterKey, LetterRow]]:
        with self._lock:
            if self._clock() >= self._due:
                bare = [(replace(one, key=None, value=b"", headers=()), LetterRow.of(one)) for one in self._read()]
                self._known, self._due = bare, self._clock() + KEPT_SECONDS
            known = self._known
        return [(letter.sort_key, row) for letter, row in known if wanted.admits(letter)]


@dataclass(frozen=True, slots=True)
class PlannedReplay:
    places: Sequence[Place]  # of letters, the oldest first
    records: Mapping[str, int]  # by the topic they go to
    held: Mapping[Flaw, int]


def open_letters(engine: Engine, kafka: KafkaSettings) -> closing[KafkaLetters]:
    """Open the topic for a block; what letters of erased people held is not to be had."""
    return closing(KafkaLetters(kafka, PostgresErasures(engine).erased()))


def read_letter(engine: Engine, kafka: KafkaSettings, place: Place) -> Letter:
    with open_letters(engine, kafka) as letters:
        return next(letters.at([place]))


def plan_replay(
    engine: Engine, kafka: KafkaSettings, wanted: LetterFilter, *, limit: int | None, most: int
) -> PlannedReplay:
    """Choose among all letters; raise `InvalidInput` where more than *most* would have to be looked at."""
    plan = ReplayPlan(wanted, {route.topic for route in routes_of(kafka)})
    with open_letters(engine, kafka) as letters:
        for letter in letters.read(wanted.since):
            plan.add(letter)
            if len(plan) > most:
                raise InvalidInput(f"more than {most:,} letters: narrow them with --since")
        places = plan.chosen(limit)
        counts = Counter(letter.source.topic for letter in letters.at(places)) if places else Counter[str]()
    return PlannedReplay(places, dict(sorted(counts.items())), {flaw: n for flaw, n in plan.held.items() if n})


def write_replay(
    engine: Engine, kafka: KafkaSettings, planned: PlannedReplay, told: Mapping[str, object], *, actor: Actor
) -> int:
    """Write what is *planned*, and return how many records that were; the audit keeps what was *told* to choose it."""
    token = PostgresReplays(engine).begin(kafka.dead_letter_topic, planned.records, told, actor=actor)
    with open_letters(engine, kafka) as letters, closing(KafkaReplay(kafka, token)) as replay:
        try:
            replay.write(letter for letter in letters.at(planned.places) if letter.flaw is None)  # some erased since
        except Unavailable as error:
            raise Unavailable(
                f"{error}; {replay.written} of {len(planned.places)} records are written."
                " Replay them again: what counts already counts once"
            ) from error
        return replay.written


class LetterDesk:
    """`web.routes.letter.LetterDesk`; may be asked from many threads."""

    def __init__(self, engine: Engine, kafka: KafkaSettings) -> None:
        self._engine, self._kafka = engine, kafka
        self._replaying = threading.Lock()

    def letter(self, place: Place, *, actor: Actor) -> Letter:
        found = read_letter(self._engine, self._kafka, place)
        with transaction(self._engine) as connection:
            by = Author(actor.name, actor.role)
            PostgresAudit(connection).record("dead_letters.read", f"letter {place}", by=by, detail={})
        return found

    def replay(
        self, wanted: LetterFilter, *, limit: int | None, most: int, actor: Actor, dry_run: bool = False
    ) -> Replay:
        if not self._replaying.acquire(blocking=False):
            raise Conflict("letters are being replayed already: try again when that is done")
        try:
            planned = plan_replay(self._engine, self._kafka, wanted, limit=limit, most=most)
            written = 0
            if planned.places and not dry_run:
                told = {"filter": wanted.told(), "limit": limit}
                written = write_replay(self._engine, self._kafka, planned, told, actor=actor)
        finally:
            self._replaying.release()
        return Replay(planned.records, planned.held, written)
