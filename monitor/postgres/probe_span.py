"""Where in the log the first outcomes of each suite's probes lie."""

from __future__ import annotations

from sqlalchemy import Connection, text

from monitor.drift.log import ProbeSpan

_SPANS = text(
    "select signal, scorer_version, min(first_place) as first_place, min(stop_place) filter (where made >= :outcomes)"
    "   as stop_place"
    " from (select r.signal, r.scorer_version, e.first_place, e.first_place + e.places as stop_place,"
    "     sum(r.outcomes) over (partition by r.signal, r.scorer_version order by e.sequence) as made"
    "   from probe_run r join log_entry e using (entry_id) where e.sequence is not null and e.first_place >= :place"
    " ) as runs group by signal, scorer_version having max(made) >= :outcomes order by signal, scorer_version"
)


def probe_spans(connection: Connection, place: int, *, outcomes: int) -> list[ProbeSpan]:
    """Return by series the placed runs from *place* on that hold its first *outcomes*; one with fewer is left out."""
    rows = connection.execute(_SPANS, {"place": place, "outcomes": outcomes}).all()
    return [ProbeSpan(row.signal, row.scorer_version, row.first_place, row.stop_place) for row in rows]
