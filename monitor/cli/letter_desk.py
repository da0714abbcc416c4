"""Where `dead-letters` finds letters: on their topic, or at a server that is asked for them."""

from __future__ import annotations

import heapq
import logging
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from monitor.cli.database import open_database, operator
from monitor.cli.http import Api, open_api
from monitor.cli.server import chosen
from monitor.ingest.letter import Letter, LetterFilter, LetterRow, Place, Replay, place_of
from monitor.settings.kafka import KafkaSettings

if TYPE_CHECKING:
    from sqlalchemy import Engine

MAX_REPLAYED = 1_000_000  # whose places are kept in memory
ALL_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class FoundLetters:
    rows: Sequence[LetterRow]  # the newest first
    reasons: Counter[str]  # of all that fit
    remark: str = ""  # what of the topic is not among them


class LetterDesk(Protocol):
    def letters(self, wanted: LetterFilter, *, limit: int) -> FoundLetters: ...
    def letter(self, place: Place) -> Letter: ...
    def replay(self, wanted: LetterFilter, *, limit: int | None, dry_run: bool) -> Replay: ...


class TopicDesk:
    """The topic itself, all of it; the database knows whose letters are shown no more."""

    def __init__(self, engine: Engine, kafka: KafkaSettings) -> None:
        self._engine, self._kafka = engine, kafka

    def letters(self, wanted: LetterFilter, *, limit: int) -> FoundLetters:
        from monitor.app.letters import open_letters

        reasons: Counter[str] = Counter()
        newest: list[tuple[tuple[int, int, int], LetterRow]] = []
        with open_letters(self._engine, self._kafka) as letters:
            for letter in letters.read(wanted.since):
                if wanted.admits(letter):
                    reasons[letter.reason] += 1
                    item = (letter.sort_key, LetterRow.of(letter))
                    (heapq.heappushpop if len(newest) == limit else heapq.heappush)(newest, item)
            foreign = letters.foreign
        remark = f"{foreign} records of the topic are no letters of this program, and are passed over"
        rows = [row for _, row in sorted(newest, key=lambda item: item[0], reverse=True)]
        return FoundLetters(rows, reasons, remark if foreign else "")

    def letter(self, place: Place) -> Letter:
        from monitor.app.letters import read_letter

        return read_letter(self._engine, self._kafka, place)

    def replay(self, wanted: LetterFilter, *, limit: int | None, dry_run: bool) -> Replay:
        from monitor.app.letters import plan_replay, write_replay

        planned = plan_replay(self._engine, self._kafka, wanted, limit=limit, most=MAX_REPLAYED)
        if dry_run or not planned.places:
            return Replay(planned.records, planned.held, 0)
        told = {"filter": wanted.told(), "limit": limit}
        written = write_replay(self._engine, self._kafka, planned, told, actor=operator())
        return Replay(planned.records, planned.held, written)


class ServerDesk:
    """What a server hands out: the newest letters of each partition, and any single one."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def letters(self, wanted: LetterFilter, *, limit: int) -> FoundLetters:
        from monitor.cli.remote_desk import read

        rows = read(list[LetterRow], self._api.rows("/dead-letters", limit=ALL_ROWS, **_told(wanted)))
        remark = "the server looks at the newest 1,000 records of each partition alone"
        return FoundLetters(rows[:limit], Counter(row.reason for row in rows), remark if len(rows) >= 1000 else "")

    def letter(self, place: Place) -> Letter:
        from monitor.cli.remote_desk import read

        told = self._api.get(f"/dead-letters/{quote(str(place), safe=':')}")
        row, key = read(LetterRow, told["row"]), told["key_base64"]
        stamp = row.source_timestamp
        return Letter(
            place=place_of(row.letter),
            written_ms=round(row.written_at.timestamp() * 1000),
            reason=row.reason,
            detail=row.detail,
            source=place_of(row.source),
            source_ms=None if stamp is None else round(stamp.timestamp() * 1000),
            attempts=row.attempts,
            first=place_of(row.first),
            key=None if key is None else b64decode(key),
            value=b64decode(told["value_base64"]),
            headers=tuple((header["name"], b64decode(header["value_base64"])) for header in told["headers"]),
            flaw=row.cannot_be_replayed,
        )

    def replay(self, wanted: LetterFilter, *, limit: int | None, dry_run: bool) -> Replay:
        from monitor.cli.remote_desk import read

        order: dict[str, object] = {**_told(wanted), "letters": sorted(map(str, wanted.places))}
        return read(Replay, self._api.post("/dead-letters/replay", order | {"limit": limit, "dry_run": dry_run}))


@contextmanager
def open_letters() -> Iterator[LetterDesk]:
    """Open the server that was chosen, and else the topic that the settings name, for the block."""
    server = chosen()
    if server is not None:
        with open_api(server) as api:
            yield ServerDesk(api)
        return
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # the error that comes out tells it all
    with open_database() as (engine, settings):
        yield TopicDesk(engine, settings.kafka)


def _told(wanted: LetterFilter) -> dict[str, str | None]:
    since, until = (None if at is None else at.isoformat() for at in (wanted.since, wanted.until))
    return {"reason": wanted.reason, "topic": wanted.topic, "since": since, "until": until}
