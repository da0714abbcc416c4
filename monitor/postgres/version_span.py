"""Where in the log a version of a signal began."""

from __future__ import annotations

from sqlalchemy import Connection, text

PAGE_ENTRIES = 1_000  # a version that none of so many holds, one after another, began after them
_PAGE = text(
    "select e.sequence, e.first_place, exists (select from observation_batch b where b.entry_id = e.entry_id"
    "   and b.signal = :signal and b.scorer_version = :version) as holds"
    " from log_entry e where e.source = 'traces' and e.sequence < :before and e.first_place + e.places > :since"
    " order by e.sequence desc limit :limit"
)


def version_began(connection: Connection, key: tuple[str, str], *, since: int) -> int | None:
    """Return the place at or after *since* of the entry with which a version came, as it is written now.

    One that was away for PAGE_ENTRIES entries came when it came back. None where no placed entry holds it.
    """
    signal, version = key
    bounds = {"signal": signal, "version": version, "since": since, "limit": PAGE_ENTRIES}
    before, found = 2**62, None
    while True:
        page = connection.execute(_PAGE, {**bounds, "before": before}).all()
        held = [row.first_place for row in page if row.holds]
        if not held:
            return found
        found, before = max(min(held), since), min(row.sequence for row in page)
