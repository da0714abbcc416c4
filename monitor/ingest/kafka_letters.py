"""The dead-letter topic read again, and letters written back to where they came from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition as KafkaPartition

from monitor.errors import NotFound, Unavailable
from monitor.ingest.dead_letter import FLUSH_SECONDS, MAX_REQUEST_BYTES
from monitor.ingest.erased import Erased, hide_erased
from monitor.ingest.kafka import FETCH_OPTIONS, REQUEST_SECONDS
from monitor.ingest.kafka_client import client_options, connect
from monitor.ingest.letter import Letter, Place, letter_of
from monitor.ingest.record import Record
from monitor.settings.kafka import KafkaSettings

POLL_SECONDS = 0.5
SILENCE_SECONDS = 30.0  # without a record, though more are there
MAX_UNFLUSHED_LETTERS = 1_000
MAX_UNFLUSHED_BYTES = 32 * 1024 * 1024


class KafkaLetters:
    """The letters that were there when it was opened; later ones are not seen."""

    def __init__(self, settings: KafkaSettings, erased: Erased) -> None:
        """Connect; raise `NotFound` where the topic is not there, `Unavailable` where no broker answers.

        Letters of whoever is *erased* come without what they held.
        """
        self._erased = erased
        self.topic = settings.dead_letter_topic
        self.foreign = 0  # records that were passed over, since they are no letters
        options = client_options(settings) | dict(FETCH_OPTIONS)
        options |= {
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
        }
        self._consumer, self._connections = connect(KafkaConsumer, options)
        try:
            if self.topic not in self._consumer.topics():  # asked this way, a broker does not create it
                raise NotFound(f"the dead-letter topic {self.topic!r} (kafka.dead_letter_topic) is not there")
            numbers = self._consumer.partitions_for_topic(self.topic) or ()
            self._partitions = [KafkaPartition(self.topic, number) for number in sorted(numbers)]
            self._ends = self._consumer.end_offsets(self._partitions, timeout_ms=REQUEST_SECONDS * 1000)
        except KafkaError as error:
            raise self._connections.translated(error) from error

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def read(self, since: datetime | None = None) -> Iterator[Letter]:
        """Yield the letters that were written from *since* on, each partition's in their order."""
        try:
            starts = self._consumer.beginning_offsets(self._partitions, timeout_ms=REQUEST_SECONDS * 1000)
            if since is not None:
                asked = dict.fromkeys(self._partitions, max(0, int(since.timestamp() * 1000)))
                found = self._consumer.offsets_for_times(asked, timeout_ms=REQUEST_SECONDS * 1000)
                starts = {at: self._ends[at] if found.get(at) is None else found[at].offset for at in self._partitions}
        except KafkaError as error:
            raise self._connections.translated(error) from error
        yield from self._between(starts, self._ends)

    def newest(self, count: int) -> Iterator[Letter]:
        """Yield the letters among the last *count* records of each partition, each partition's in their order."""
        try:
            first = self._consumer.beginning_offsets(self._partitions, timeout_ms=REQUEST_SECONDS * 1000)
        except KafkaError as error:
            raise self._connections.translated(error) from error
        yield from self._between({at: max(first[at], self._ends[at] - count) for at in self._partitions}, self._ends)

    def at(self, places: Iterable[Place]) -> Iterator[Letter]:
        """Yield the letters at *places*, in the order of their offsets; raise `NotFound` for one that is not there."""
        wanted = set(places)
        for partition in self._partitions:
            mine = {place for place in wanted if KafkaPartition(place.topic, place.partition) == partition}
            if not mine:
                continue
            stop = min(self._ends[partition], max(place.offset for place in mine) + 1)
            starts = {partition: min(place.offset for place in mine)}
            for letter in self._between(starts, {partition: stop}):
                if letter.place in mine:
                    wanted.discard(letter.place)
                    yield letter
        if wanted:
            raise NotFound(f"there is no letter {min(wanted)}: `dead-letters list` shows those that there are")

    def _between(self, starts: Mapping[KafkaPartition, int], stops: Mapping[KafkaPartition, int]) -> Iterator[Letter]:
        waiting = {partition for partition in starts if starts[partition] < stops[partition]}
        heard = time.monotonic()
        try:
            self._consumer.assign(sorted(waiting))
            self._consumer.resume(*waiting)  # which an earlier reading may have paused
            for partition in waiting:
                self._consumer.seek(partition, starts[partition])
            while waiting:
                fetched = self._consumer.poll(timeout_ms=round(POLL_SECONDS * 1000))
                for partition, items in fetched.items():
                    yield from self._letters(item for item in items if item.offset < stops[partition])
                waiting = {at for at in waiting if self._consumer.position(at) < stops[at]}
                self._consumer.pause(*(set(self._consumer.assignment()) - waiting))
                heard = time.monotonic() if fetched else heard
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise Unavailable(
                        f"kafka: {self.topic!r} gave no record for {SILENCE_SECONDS:.0f} s; there are more"
                    )
        except KafkaError as error:
            raise self._connections.translated(error) from error

    def _letters(self, items: Iterable[Any]) -> Iterator[Letter]:
        for item in items:
            headers = tuple(item.headers)
            letter = letter_of(
                Record(item.topic, item.partition, item.offset, item.key, item.value, headers, item.timestamp)
            )
            if letter is None:
                self.foreign += 1
            else:
                yield hide_erased(letter, self._erased)


class KafkaReplay:
    """Writes letters' records back to the topics that they came from."""

    def __init__(self, settings: KafkaSettings, token: str) -> None:
        """*token* shows whoever reads the records that they are this replay's."""
        self._token = token
        options = client_options(settings) | {
            "acks": "all",
            "enable_idempotence": False,  # a record twice is recognised by its trace's id
            "linger_ms": 5,
            "max_request_size": MAX_REQUEST_BYTES,
            "request_timeout_ms": round(REQUEST_SECONDS * 1000),
            "delivery_timeout_ms": round(FLUSH_SECONDS * 1000),
            "max_block_ms": round(REQUEST_SECONDS * 1000),
        }
        self._producer, self._connections = connect(KafkaProducer, options)
        self.written = 0  # and durable

    def close(self) -> None:
        self._producer.close(timeout=1.0)

    def write(self, letters: Iterable[Letter]) -> None:
        """Write all of *letters*; raise `Unavailable` where one could not be written, `written` tells how many were."""
        sent: list[Any] = []
        size = 0
        try:
            for letter in letters:
                sent.append(self._send(letter))
                size += len(letter.value)
                if len(sent) >= MAX_UNFLUSHED_LETTERS or size >= MAX_UNFLUSHED_BYTES:
                    self._await(sent)
                    sent, size = [], 0
            self._await(sent)
        except KafkaError as error:
            raise self._connections.translated(error) from error

    def _send(self, letter: Letter) -> Any:
        """Keep the record's partition, where its topic still has it, since its neighbours of one key are there."""
        there = self._producer.partitions_for(letter.source.topic)
        return self._producer.send(
            letter.source.topic,
            letter.value,
            letter.key,
            headers=letter.replayed_headers(self._token),
            partition=letter.source.partition if letter.source.partition in there else None,
            timestamp_ms=letter.source_ms,
        )

    def _await(self, sent: list[Any]) -> None:
        self._producer.flush(timeout=FLUSH_SECONDS + REQUEST_SECONDS)
        for future in sent:
            if future.exception is not None:
                raise future.exception
            self.written += 1
