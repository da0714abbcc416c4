"""The sets of preference pairs that runs were given: kept, listed, and written again byte by byte."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, text

from monitor.errors import InvalidInput, NotFound
from monitor.labels.card import SetCard, SetPlace, StoredSet
from monitor.postgres.copy import driver_of
from monitor.postgres.document import document
from monitor.postgres.engine import transaction
from monitor.runs.artifact import HashedFile

DIGEST_BYTES = 32
AT_ONCE = 1_000  # lines
LEAST_CHARACTERS = 6  # of a hash that names a set
# %b sends an array in binary.
_KNOWN = "select digest from preference_pair where digest = any(%b::bytea[])"
_USED = "update preference_pair set used_on = current_date where digest = any(%b::bytea[]) and used_on < current_date"
_ADD = (
    "insert into preference_pair (digest, line) select * from unnest(%b::bytea[], %b::text[])"
    " on conflict (digest) do update set used_on = current_date"
)
_LINES = "select digest, line from preference_pair where digest = any(%b::bytea[])"
_KEEP = text(
    "insert into preference_set (sha256, card, members) values (:sha256, cast(:card as jsonb), :members)"
    " on conflict (sha256) do nothing"
)
_SETS = (
    "select sha256, card, created_at, coalesce((select array_agg(job_id order by job_id) from job"
    " where spec -> 'preferences' ->> 'sha256' = preference_set.sha256), '{}') as jobs from preference_set"
)


class PostgresPreferenceSets:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sets(self, *, limit: int, before: SetPlace | None = None) -> Sequence[StoredSet]:
        """Return the newest sets first, those that stand before *before* where it is given."""
        older = "" if before is None else " where (created_at, sha256) < (:created_at, :sha256)"
        query = text(f"{_SETS}{older} order by created_at desc, sha256 desc limit :limit")
        chosen = {"limit": limit} | ({} if before is None else before._asdict())
        with transaction(self._engine) as connection:
            return [_stored(row) for row in connection.execute(query, chosen).mappings()]

    def find(self, sha256_start: str) -> StoredSet:
        """Return the set whose hash begins so; raise `NotFound` or `InvalidInput` where that is not one set."""
        if len(sha256_start) < LEAST_CHARACTERS:
            raise InvalidInput(f"{sha256_start!r} is too short: give {LEAST_CHARACTERS} characters of the hash or more")
        query = text(f"{_SETS} where starts_with(sha256, :start) limit 2")
        with transaction(self._engine) as connection:
            found = [_stored(row) for row in connection.execute(query, {"start": sha256_start.lower()}).mappings()]
        if not found:
            raise NotFound(f"no run was given a set {sha256_start!r}: `preferences list` shows them")
        if len(found) > 1:
            raise InvalidInput(f"{sha256_start!r} begins more than one set's hash: give more of it")
        return found[0]

    def write(self, stored: StoredSet, path: Path) -> HashedFile:
        """Write the file that the run was given; raise `NotFound` where not all of its text is kept."""
        digest, rows = sha256(), 0
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file, transaction(self._engine) as connection:
            for line in _lines(connection, stored.card.sha256):
                digest.update(line)
                file.write(line)
                rows += 1
        if digest.hexdigest() != stored.card.sha256:
            part.unlink()
            raise NotFound(
                f"{stored.card.pairs - rows} of the set's {stored.card.pairs} pairs are kept no more"
                " (retention.pair_days): its file cannot be made again"
            )
        os.replace(part, path)
        return HashedFile(path=str(path.resolve()), sha256=stored.card.sha256, rows=rows)


def keep_set(connection: Connection, file: HashedFile, card: Path) -> None:
    """Keep what *file* and its data card hold, so that both can be told by the file's hash."""
    digest, members = sha256(), bytearray()
    driver = driver_of(connection)
    for lines in _read_lines(Path(file.path)):
        digest.update(b"".join(line + b"\n" for line in lines))
        by_digest = {sha256(line).digest(): line for line in lines}
        members += b"".join(sha256(line).digest() for line in lines)
        known = {bytes(found) for (found,) in driver.execute(_KNOWN, [list(by_digest)])}
        driver.execute(_USED, [sorted(known)])
        new = sorted(by_digest.keys() - known)  # one order everywhere: dispatchers that meet do not deadlock
        driver.execute(_ADD, [new, [by_digest[one].decode() for one in new]])
    if digest.hexdigest() != file.sha256:
        raise InvalidInput(f"{file.path} hashes to {digest.hexdigest()}; it was exported as {file.sha256}")
    told = msgspec.json.decode(card.read_bytes(), type=SetCard)
    values = {"sha256": file.sha256, "card": msgspec.json.encode(document(told)).decode(), "members": bytes(members)}
    connection.execute(_KEEP, values)


def _read_lines(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        lines: list[bytes] = []
        for line in file:
            lines.append(line.removesuffix(b"\n"))
            if len(lines) == AT_ONCE:
                yield lines
                lines = []
        yield lines


def _lines(connection: Connection, sha256_hex: str) -> Iterator[bytes]:
    """Yield the set's lines in their order, without those that are kept no more."""
    query = text("select members from preference_set where sha256 = :sha256")
    members = bytes(connection.execute(query, {"sha256": sha256_hex}).scalar_one())
    step = AT_ONCE * DIGEST_BYTES
    for start in range(0, len(members), step):
        some = members[start : start + step]
        digests = [some[place : place + DIGEST_BYTES] for place in range(0, len(some), DIGEST_BYTES)]
        kept = {bytes(digest): line for digest, line in driver_of(connection).execute(_LINES, [digests])}
        for digest in digests:
            if digest in kept:
                yield kept[digest].encode() + b"\n"


def _stored(row: RowMapping) -> StoredSet:
    return StoredSet(msgspec.convert(row["card"], SetCard, strict=False), row["created_at"], tuple(row["jobs"]))
