"""Rejected records, set aside with the reason on a topic of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from monitor.errors import InvalidTrace, Unavailable
from monitor.ingest.decode import Reason
from monitor.ingest.kafka_client import client_options, connect
from monitor.ingest.kafka_connections import Connections, translated
from monitor.ingest.letter import DETAIL, OFFSET, PARTITION, REASON, TIMESTAMP, TOPIC, TRUNCATED, WITHHELD, Headers
from monitor.ingest.record import Record
from monitor.settings.kafka import KafkaSettings

MAX_BUFFERED_LETTERS = 10_000
MAX_REMEMBERED_LETTERS = 50_000
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
MAX_REQUEST_BYTES = 96 * 1024 * 1024  # a broker's own socket.request.max.bytes is 100 MB
TRUNCATED_BYTES = 64 * 1024  # of each part: the whole stays under any max.message.bytes that is in use
FLUSH_SECONDS = 30.0
REQUEST_SECONDS = 10.0
CLOSE_SECONDS = 5.0
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


Identity = tuple[str, int, int, int]  # topic, partition, offset; and a hash, since a replaced topic counts anew


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is written: the record's own key, value and headers, and why it was rejected.

    A null value or header becomes an empty one, which the client can write.
    """

    key: bytes | None
    value: bytes
    headers: Headers  # the record's own
    reasons: Headers

    @property
    def size(self) -> int:
        return len(self.key or b"") + len(self.value) + _size(self.headers) + _size(self.reasons)

    def truncated(self) -> DeadLetter:
        """Return the letter with no more than the head of each part; a header tells the value's size in bytes."""
        headers = self.headers if _size(self.headers) <= TRUNCATED_BYTES else ()
        key = None if self.key is None else self.key[:TRUNCATED_BYTES]
        cut = (TRUNCATED, str(len(self.value)).encode())
        return DeadLetter(key, self.value[:TRUNCATED_BYTES], headers, (*self.reasons, cut))


def dead_letter(record: Record, invalid: InvalidTrace, *, withheld: bool = False) -> DeadLetter:
    """Return the letter of *record*; one that is *withheld* says where the record stands, and holds nothing of it."""
    reasons = {
        REASON: str(invalid.reason),
        DETAIL: invalid.detail,
        TOPIC: record.topic,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        TIMESTAMP: str(record.timestamp_ms),
    }
    told = tuple((name, text.encode(errors="replace")) for name, text in reasons.items())
    if withheld:
        return DeadLetter(None, b"", (), (*told, (WITHHELD, b"true")))
    return DeadLetter(
        record.key,
        record.value or b"",
        tuple((name, value or b"") for name, value in record.headers),
        told,
    )


class KafkaDeadLetters:
    """Writes dead letters at least once.

    A record put again is written once, as long as it is among the latest; only after
    a failure whose outcome is not known may a letter stand on the topic twice. Not
    thread safe. The producer is made with the first letter, so a worker whose records
    are all good opens no second connection.
    """

    def __init__(
        self, settings: KafkaSettings, *, withhold: bool = False, max_request_bytes: int = MAX_REQUEST_BYTES
    ) -> None:
        """*withhold*: letters hold nothing of their records; where redaction failed, no letter ever does."""
        self._topic = settings.dead_letter_topic
        self._withhold = withhold
        self._options: dict[str, Any] = client_options(settings) | {
            "acks": "all",
            "enable_idempotence": False,  # a letter twice does no harm, and one permission less is needed
            "linger_ms": 5,
            "max_request_size": max_request_bytes,
            "request_timeout_ms": round(REQUEST_SECONDS * 1000),
            "delivery_timeout_ms": round(FLUSH_SECONDS * 1000),
            "max_block_ms": round(REQUEST_SECONDS * 1000),
        }
        self._producer: Any = None  # a KafkaProducer, from the first letter on
        self._connections: Connections | None = None
        self._buffered: dict[Identity, DeadLetter] = {}
        self._durable: dict[Identity, None] = {}  # oldest first
        self._bytes = 0

    def put(self, record: Record, invalid: InvalidTrace) -> None:
        """Take *record*; it is safe only after `flush`, which a full buffer calls by itself."""
        identity = (record.topic, record.partition, record.offset, hash(record.value))
        if identity in self._buffered or identity in self._durable:
            return
        withheld = self._withhold or invalid.reason == Reason.REDACTION_FAILED
        letter = dead_letter(record, invalid, withheld=withheld)
        self._buffered[identity] = letter
        self._bytes += letter.size
        if len(self._buffered) >= MAX_BUFFERED_LETTERS or self._bytes >= MAX_BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Return once every letter is durable; otherwise raise `Unavailable` and keep them.

        A letter that the broker or this producer finds too large is cut, and marked.
        """
        if not self._buffered:
            return
        try:
            refused = self._send(list(self._buffered.values()))
            if refused and self._send([letter.truncated() for letter in refused]):
                raise Unavailable(
                    f"kafka: the dead-letter topic {self._topic!r} (kafka.dead_letter_topic) refuses letters"
                    f" of {TRUNCATED_BYTES:,} bytes as too large"
                )
        except KafkaError as error:
            raise self._named(error) from error
        self._durable |= dict.fromkeys(self._buffered)
        for identity in list(self._durable)[:-MAX_REMEMBERED_LETTERS]:
            del self._durable[identity]
        self.discard()

    def discard(self) -> None:
        """Forget the letters that are not durable: somebody else reads their records again."""
        self._buffered, self._bytes = {}, 0

    def close(self) -> None:
        """Let go of the connection; letters that were not flushed are dropped."""
        if self._producer is not None:
            self._producer.close(timeout=CLOSE_SECONDS)
            self._producer = None

    def _named(self, error: KafkaError) -> Exception:
        """Say what *error* means, and of which topic."""
        meaning = translated(error) if self._connections is None else self._connections.translated(error)
        refused = self._connections is not None and self._connections.is_refused
        if refused or not isinstance(meaning, Unavailable):
            return meaning
        named = f"the dead-letter topic {self._topic!r} (kafka.dead_letter_topic)"
        if self._producer is not None and not self._producer._metadata.partitions_for_topic(self._topic):
            return Unavailable(
                f"kafka: {named} is not there, or may not be seen: create it. {error}",
                plain=f"the dead-letter topic {self._topic} is missing",
            )
        return Unavailable(
            f"kafka: {named} cannot be written: {error}", plain=f"the dead-letter topic {self._topic} cannot be written"
        )

    def _send(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Return the letters that are too large when all others are durable."""
        if self._producer is None:
            self._producer, self._connections = connect(KafkaProducer, self._options)
        too_large, sent = [], []
        for letter in letters:
            headers = [*letter.headers, *letter.reasons]
            try:
                sent.append((letter, self._producer.send(self._topic, letter.value, letter.key, headers=headers)))
            except TOO_LARGE:
                too_large.append(letter)
        self._producer.flush(timeout=FLUSH_SECONDS + REQUEST_SECONDS)
        for letter, future in sent:
            if isinstance(future.exception, TOO_LARGE):
                too_large.append(letter)
            elif future.exception is not None:
                raise future.exception
        return too_large


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)
