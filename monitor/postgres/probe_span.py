"""Where in the log the first observations of a source lie: outcomes of probes, and what users did after answers."""

from __future__ import annotations

from sqlalchemy import Connection, text

from monitor.drift.log import SourceSpan

_SPANS = text(
    "select signal, scorer_version, min(first_place) as first_place, min(stop_place) filter (where made >= :outcomes)"
    "   as stop_place"
    " from (select r.signal, r.scorer_version, e.first_place, e.first_place + e.places as stop_place,"
    "     sum(r.outcomes) over (partition by r.signal, r.scorer_version order by e.sequence) as made"
    "   from probe_run r join log_entry e using (entry_id) where e.sequence is not null and e.first_place >= :place"
    " ) as runs group by signal, scorer_version having max(made) >= :outcomes order by signal, scorer_version"
)

# Every entry holds a trace at least, so the first of them are enough.
_FEEDBACK = text(
    "select signal, scorer_version, min(first_place) as first_place, min(stop_place) filter (where made >= :traces)"
    "   as stop_place"
    " from (select b.signal, b.scorer_version, e.first_place, e.first_place + e.places as stop_place,"
    "     sum(octet_length(b.values) / 8) over (partition by b.signal, b.scorer_version order by e.sequence) as made"
    "   from (select * from log_entry where source = 'feedback' and sequence is not null and first_place >= :place"
    "     order by sequence limit :traces) e join observation_batch b using (entry_id)"
    " ) as counted group by signal, scorer_version having max(made) >= :traces order by signal, scorer_version"
)


def probe_spans(connection: Connection, place: int, *, outcomes: int) -> list[SourceSpan]:
    """Return by series the placed runs from *place* on that hold its first *outcomes*; one with fewer is left out."""
    rows = connection.execute(_SPANS, {"place": place, "outcomes": outcomes}).all()
    return [SourceSpan(row.signal, row.scorer_version, row.first_place, row.stop_place) for row in rows]


def feedback_spans(connection: Connection, place: int, *, traces: int) -> list[SourceSpan]:
    """Return by series where its first *traces* from *place* on lie; one with fewer is left out."""
    rows = connection.execute(_FEEDBACK, {"place": place, "traces": traces}).all()
    return [SourceSpan(row.signal, row.scorer_version, row.first_place, row.stop_place) for row in rows]
