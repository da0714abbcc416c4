"""Where in the log the settled blocks of labels lie."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, text

from monitor.drift.log import LabelSpan
from monitor.labels.block import ANY_CRITERIA

# An entry may hold several blocks, the first of them of older traces.
_FIRST = text(
    "select b.number, e.first_place + coalesce((select sum(o.items) from label_block o"
    "   where o.entry_id = b.entry_id and o.number < b.number), 0)::bigint as first_place"
    " from label_block b join log_entry e using (entry_id)"
    " where b.estimand = :estimand and b.first_place >= :place and e.sequence is not null"
    " order by b.first_place limit 1"
)
_STOP = text(
    "select b.number, e.first_place + e.places as stop_place from label_block b join log_entry e using (entry_id)"
    " where b.estimand = :estimand and b.first_place >= :place and e.sequence is not null"
    " order by b.first_place desc limit 1"
)
_COUNTS = text(
    "select criteria_version, scorer_version, cheap is not null as compared, count(*) as labels from label_item"
    " where estimand = :estimand and number between :first and :last and value is not null group by 1, 2, 3"
)


def label_span(connection: Connection, estimand: str, place: int) -> LabelSpan | None:
    """Return the span of the placed blocks of *estimand* whose traces stand at *place* or later; None for none."""
    bounds = {"estimand": estimand, "place": place}
    first, last = (connection.execute(statement, bounds).one_or_none() for statement in (_FIRST, _STOP))
    if first is None or last is None:
        return None
    verdicts, compared = Counter[str](), Counter[str]()
    for row in connection.execute(_COUNTS, {"estimand": estimand, "first": first.number, "last": last.number}):
        verdicts[row.criteria_version or ANY_CRITERIA] += row.labels
        if row.compared:
            compared[row.scorer_version] += row.labels
    return LabelSpan(first.first_place, last.stop_place, verdicts, compared)
