"""Where in the log the settled blocks of labels lie."""

from __future__ import annotations

from sqlalchemy import Connection, text

from monitor.drift.log import LabelSpan

_BOUNDS = text(
    "select min(e.first_place) as first_place, max(e.first_place + e.places) as stop_place from label_block b"
    " join log_entry e using (entry_id) where b.first_place >= :place and e.sequence is not null"
)
_COUNTS = text(  # eight bytes a value
    "select b.signal, b.scorer_version, sum(octet_length(b.values) / 8) as observations from log_entry e"
    " join observation_batch b using (entry_id) where e.source = 'labels' and e.sequence is not null"
    " and e.first_place >= :start and e.first_place < :stop group by b.signal, b.scorer_version"
)


def label_span(connection: Connection, place: int) -> LabelSpan | None:
    """Return the span of the placed entries of blocks whose traces stand at *place* or later; None for none."""
    bounds = connection.execute(_BOUNDS, {"place": place}).one()
    if bounds.first_place is None:
        return None
    rows = connection.execute(_COUNTS, {"start": bounds.first_place, "stop": bounds.stop_place})
    counts = {(row.signal, row.scorer_version): int(row.observations) for row in rows}
    return LabelSpan(bounds.first_place, bounds.stop_place, counts)
