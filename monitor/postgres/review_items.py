"""What the worker puts into the review queue, in the transaction that stores the traces."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from monitor.observe.gather import ObservedTrace

# A trace that was forgotten and came again keeps its item.
_SELECTED = text(
    "insert into review_item (trace_id, kind, probability, counted, reason, wanted)"
    " values (:trace_id, :kind, :probability, true, :reason, :wanted) on conflict (trace_id, kind) do nothing"
)


def insert_selected(connection: Connection, traces: Iterable[ObservedTrace]) -> None:
    """Put what was selected of *traces* into the queue."""
    items = [
        {
            "trace_id": item.trace.trace_id,
            "kind": drawn.kind,
            "probability": drawn.probability,
            "reason": drawn.reason,
            "wanted": drawn.wanted,
        }
        for item in traces
        for drawn in item.selections
        if drawn.selected
    ]
    if items:
        connection.execute(_SELECTED, items)
