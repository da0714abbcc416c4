"""The texts of a baseline's window: copied when it is frozen, so that they outlive the traces' own."""

from __future__ import annotations

from sqlalchemy import Connection, text

# Repeats are no observations, so they are no part of a law.
_COPY = text(
    "insert into baseline_trace (baseline_id, place, trace_id, cohort, policy_model, messages, response,"
    " reference_response, conversation_id, user_id)"
    " select b.baseline_id, e.first_place + t.ordinal, t.trace_id, t.cohort, t.policy_model, t.messages, t.response,"
    " t.reference_response, t.conversation_id, t.user_id"
    " from baseline b join log_entry e on e.first_place < b.stop_place and e.first_place + e.places > b.first_place"
    "   and e.first_place >= (select coalesce(max(first_place), 0) from log_entry"
    "     where first_place <= b.first_place and places > 0)"
    " join trace t on t.entry_id = e.entry_id and t.stored_on = (e.created_at at time zone 'utc')::date"
    " where b.baseline_id = :baseline_id and e.source = 'traces' and not t.repeated and t.response is not null"
    " and not t.truncated"
    " and e.first_place + t.ordinal >= b.first_place and e.first_place + t.ordinal < b.stop_place"
)
# A window that is frozen again, or overlaps the one before, goes on with what was kept of it.
_KEEP = text(
    "insert into baseline_trace (baseline_id, place, trace_id, cohort, policy_model, messages, response,"
    " reference_response, conversation_id, user_id)"
    " select b.baseline_id, t.place, t.trace_id, t.cohort, t.policy_model, t.messages, t.response,"
    " t.reference_response, t.conversation_id, t.user_id from baseline b join baseline_trace t"
    "   on t.baseline_id = :former and t.place >= b.first_place and t.place < b.stop_place"
    " where b.baseline_id = :baseline_id on conflict do nothing"
)


def copy_window(connection: Connection, baseline_id: int, *, former: int | None) -> None:
    """Keep the texts of the baseline's window, in the transaction that freezes it.

    What is forgotten meanwhile is taken from the copy that *former* has, the baseline before.
    """
    connection.execute(_COPY, {"baseline_id": baseline_id})
    if former is not None:
        connection.execute(_KEEP, {"baseline_id": baseline_id, "former": former})
