"""Dead letters as they are read again: what each tells, which are asked for, and which may be replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from monitor.errors import InvalidInput
from monitor.ingest.record import Record

# What a letter says of its record; it stands behind the record's own headers, whatever those are called.
REASON, DETAIL, TOPIC, PARTITION, OFFSET = "reason", "detail", "source_topic", "source_partition", "source_offset"
TIMESTAMP, TRUNCATED, WITHHELD, UNREADABLE = "source_timestamp", "truncated_from", "withheld", "unreadable"
TOLD = frozenset({REASON, DETAIL, TOPIC, PARTITION, OFFSET, TIMESTAMP, TRUNCATED, WITHHELD})
# What a record says that was written from a letter. A letter of it says so too, since it keeps the record's headers.
ATTEMPT, FIRST, TOKEN = "rlhf-monitor-replay-attempt", "rlhf-monitor-replay-of", "rlhf-monitor-replay-token"
MAX_TOKEN_BYTES = 64
MAX_ATTEMPTS = 1_000_000  # a header may say anything

Headers = tuple[tuple[str, bytes], ...]
LetterKey = tuple[int, int, int]  # when it was written, in milliseconds since the epoch; its partition and offset


class Flaw(StrEnum):
    """Why a letter cannot be replayed."""

    CUT = "cut"  # the record was too large for the dead-letter topic
    WITHHELD = "withheld"  # `ingest.redaction` kept its contents back
    UNREADABLE = "unreadable"  # the client could not take the record apart, so its bytes are not there
    NOT_READ = "not_read"  # no setting reads its topic any more, so nobody would read the replay
    ERASED = "erased"  # it names a conversation or a user that was erased after its record came
    REPLACED = "replaced"  # a later letter stands for the same record: it was replayed, and was bad again


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    place: Place  # on the dead-letter topic
    written_ms: int  # since the epoch
    reason: str
    detail: str
    source: Place  # of the record that was rejected
    source_ms: int | None  # the record's own timestamp, where the letter tells it
    attempts: int  # how often it was replayed before this letter
    first: Place  # of the record that was rejected first; `source` where nothing was replayed
    key: bytes | None
    value: bytes
    headers: Headers  # the record's own
    flaw: Flaw | None

    @property
    def written_at(self) -> datetime:
        return datetime.fromtimestamp(self.written_ms / 1000, UTC)

    @property
    def sort_key(self) -> LetterKey:
        return self.written_ms, self.place.partition, self.place.offset

    def replayed_headers(self, token: str) -> list[tuple[str, bytes]]:
        """Return the record's own, and that this is a replay, which *token* proves."""
        told = {ATTEMPT: str(self.attempts + 1), FIRST: str(self.first), TOKEN: token}
        own = [(name, value) for name, value in self.headers if name not in told]
        return [*own, *((name, text.encode()) for name, text in told.items())]


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A letter without what its record held."""

    letter: str  # its place on the dead-letter topic: topic:partition:offset
    written_at: datetime
    reason: str
    detail: str
    source: str  # where the record stood
    source_timestamp: datetime | None
    attempts: int  # how often it was replayed before
    first: str  # where the record stood that was rejected first
    bytes: int  # of the record's value
    cannot_be_replayed: Flaw | None

    @classmethod
    def of(cls, letter: Letter) -> LetterRow:
        told = None if letter.source_ms is None else datetime.fromtimestamp(letter.source_ms / 1000, UTC)
        return cls(
            letter=str(letter.place),
            written_at=letter.written_at,
            reason=letter.reason,
            detail=letter.detail,
            source=str(letter.source),
            source_timestamp=told,
            attempts=letter.attempts,
            first=str(letter.first),
            bytes=len(letter.value),
            cannot_be_replayed=letter.flaw,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    reason: str | None = None
    topic: str | None = None  # that the record came from
    since: datetime | None = None  # aware; of the letter, which is when its record was rejected
    until: datetime | None = None
    places: frozenset[Place] = frozenset()  # of letters; all where none is named

    def admits(self, letter: Letter) -> bool:
        return (
            self.reason in {None, letter.reason}
            and self.topic in {None, letter.source.topic}
            and (self.since is None or letter.written_at >= self.since)
            and (self.until is None or letter.written_at < self.until)
            and (not self.places or letter.place in self.places)
        )

    def told(self) -> dict[str, object]:
        """Return what is asked for, for the audit."""
        said = {"reason": self.reason, "topic": self.topic, "since": self.since, "until": self.until}
        asked: dict[str, object] = {name: value for name, value in said.items() if value is not None}
        return asked | {"letters": sorted(map(str, self.places))} if self.places else asked


@dataclass(slots=True)
class ReplayPlan:
    """Chooses among all letters of a topic, which are given to it in any order.

    Of several letters of one record the last stands for all of them: a record that
    was replayed and is bad again is replayed once more, not twice.
    """

    wanted: LetterFilter
    topics: Collection[str]  # that somebody reads; a forged letter must not reach another one
    held: Counter[Flaw] = field(default_factory=Counter)
    _last: dict[tuple[Place, int], tuple[int, Place, bool, Flaw | None]] = field(default_factory=dict)

    def add(self, letter: Letter) -> None:
        flaw = letter.flaw or (None if letter.source.topic in self.topics else Flaw.NOT_READ)
        identity = letter.first, hash(letter.value)  # a topic that was created again counts its offsets anew
        mine = letter.written_ms, letter.place, self.wanted.admits(letter), flaw
        other = self._last.get(identity, mine)
        first, last = sorted((mine, other), key=lambda one: one[:2])
        self.held[Flaw.REPLACED] += first is not last and first[2]
        self._last[identity] = last

    def __len__(self) -> int:
        return len(self._last)

    def chosen(self, limit: int | None = None) -> list[Place]:
        """Return the letters to replay, oldest first, at most *limit*; count what is held back."""
        found = []
        for written_ms, place, is_wanted, flaw in self._last.values():
            if is_wanted and flaw is not None:
                self.held[flaw] += 1
            elif is_wanted:
                found.append((written_ms, place))
        return [place for _, place in sorted(found)[:limit]]


@dataclass(frozen=True, slots=True)
class Replay:
    """What is written back to its topics, or would be."""

    records: Mapping[str, int]  # by topic
    held: Mapping[Flaw, int]  # letters that are not among them, and why
    written: int  # records; 0 where it was only asked for


def letter_of(record: Record) -> Letter | None:
    """Return what *record* of the dead-letter topic holds; None where it is no letter of this program."""
    headers = [(name, value or b"") for name, value in record.headers]
    start = len(headers)
    while start and headers[start - 1][0] in TOLD:
        start -= 1
        if headers[start][0] == REASON:
            break
    told = dict(headers[start:])
    if not told.keys() >= {REASON, DETAIL, TOPIC, PARTITION, OFFSET}:
        return None
    own = tuple(headers[:start])
    try:
        source = Place(told[TOPIC].decode(), int(told[PARTITION]), int(told[OFFSET]))
        source_ms = int(told.get(TIMESTAMP, b"-1"))
        reason, detail = told[REASON].decode(), told[DETAIL].decode()
    except ValueError:
        return None
    flaws = {TRUNCATED: Flaw.CUT, WITHHELD: Flaw.WITHHELD}
    flaw = next((flaw for name, flaw in flaws.items() if name in told), None)
    if UNREADABLE in dict(own) and not record.value:
        flaw = Flaw.UNREADABLE
    attempts, first = replay_of(own, source)
    return Letter(
        place=Place(record.topic, record.partition, record.offset),
        written_ms=max(record.timestamp_ms, 0),
        reason=reason,
        detail=detail,
        source=source,
        source_ms=source_ms if source_ms >= 0 else None,
        attempts=attempts,
        first=first,
        key=record.key,
        value=record.value or b"",
        headers=own,
        flaw=flaw,
    )


def replay_of(headers: Headers, source: Place) -> tuple[int, Place]:
    """Return how often the record at *source* with *headers* was replayed, and where it stood first."""
    told = dict(headers)
    try:
        attempts, first = int(told[ATTEMPT]), place_of(told[FIRST].decode())
    except (KeyError, ValueError, InvalidInput):
        return 0, source
    if not 0 < attempts < MAX_ATTEMPTS or first.topic != source.topic:
        return 0, source
    return attempts, first


def replay_token(record: Record) -> str | None:
    """Return by what *record* claims to be a replay's; None where it claims nothing that could be true."""
    found = dict(record.headers).get(TOKEN) or b""
    return found.decode() if found.isascii() and 0 < len(found) <= MAX_TOKEN_BYTES else None


def place_of(text: str) -> Place:
    """Parse `topic:partition:offset`."""
    topic, *numbers = text.split(":")
    if len(numbers) != 2 or not topic or not all(number.isascii() and number.isdigit() for number in numbers):
        raise InvalidInput(
            f"{text!r} is no place of a letter; wanted topic:partition:offset, as `dead-letters list` shows"
        )
    return Place(topic, int(numbers[0]), int(numbers[1]))
