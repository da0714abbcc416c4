"""Which versions of a signal the log holds, since when, and the kept answers that a new one is read from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC

from sqlalchemy import Engine, text, tuple_

from monitor.domain.observation import SubjectWindow
from monitor.domain.trace import Message, Trace
from monitor.drift.first import FirstTraces
from monitor.drift.versions import KeptTrace, Key
from monitor.postgres import schema
from monitor.postgres.alarms import hand_over_alarms
from monitor.postgres.engine import transaction
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.version_span import version_began

_LATEST = text(
    "select distinct signal, scorer_version from observation_batch where entry_id in ("
    "  select entry_id from log_entry where source = 'traces' order by entry_id desc limit 100)"
)
_KEPT = text(
    "select b.place, b.trace_id, b.cohort, b.policy_model, b.messages, b.response, b.reference_response,"
    " b.conversation_id, b.user_id, w.created_at from baseline_trace b join baseline w using (baseline_id)"
    " where b.baseline_id = :baseline_id and b.place > :after order by b.place limit :limit"
)


_FIRST = text(
    "with counted as ("
    "  select e.first_place, e.first_place + e.places as stop_place,"
    "    sum(e.places) over upto as traces, sum(coalesce(b.values, 0)) over upto as observations"
    "  from (select * from log_entry where source = 'traces' and first_place >= :began"
    "      order by sequence limit :limit) e"
    "    left join lateral (select sum(octet_length(values) / 8) as values from observation_batch"
    "      where entry_id = e.entry_id and signal = :signal and scorer_version = :version) b on true"
    "  window upto as (order by e.sequence)"
    ") select stop_place, traces, observations from counted"
    "  order by traces >= :traces and observations >= :observations desc,"
    "    case when traces >= :traces and observations >= :observations then stop_place else -stop_place end limit 1"
)
_LOOKED_AT = 20  # times as many entries as a law takes traces: a signal that is rarer than that has none


class PostgresFirstTraces(PostgresFoldStore):
    """`drift.first.FirstStore`."""

    def first_traces(self, key: Key, since: int, *, traces: int, observations: int) -> FirstTraces | None:
        with transaction(self._engine) as connection:
            began = version_began(connection, key, since=since)
            if began is None:
                return None
            wanted = {"began": began, "signal": key[0], "version": key[1], "traces": traces}
            limits = {"observations": observations, "limit": _LOOKED_AT * traces}
            row = connection.execute(_FIRST, wanted | limits).one()
        return FirstTraces(began, row.stop_place, int(row.traces), int(row.observations))


class PostgresVersions:
    """`drift.versions.VersionStore`, and where a version began."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest_versions(self) -> set[Key]:
        with transaction(self._engine) as connection:
            return {(row.signal, row.scorer_version) for row in connection.execute(_LATEST)}

    def kept_traces(self, baseline_id: int, *, after: int, limit: int) -> Sequence[KeptTrace]:
        bounds = {"baseline_id": baseline_id, "after": after, "limit": limit}
        with transaction(self._engine) as connection:
            rows = connection.execute(_KEPT, bounds).all()
        return [
            KeptTrace(
                row.place,
                row.cohort,
                Trace(
                    trace_id=row.trace_id,
                    timestamp=row.created_at.astimezone(UTC),
                    policy_model=row.policy_model,
                    response=row.response,
                    messages=tuple(Message(message["role"], message["content"]) for message in row.messages),
                    conversation_id=row.conversation_id,
                    reference_response=row.reference_response,
                    user_id=row.user_id,
                ),
            )
            for row in rows
        ]

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        return PostgresFoldStore(self._engine).subjects(start, stop)

    def hand_over(self, ended: Collection[Key], lasting: Collection[Key]) -> None:
        columns = tuple_(schema.alarm.c.signal, schema.alarm.c.scorer_version)
        with transaction(self._engine) as connection:
            hand_over_alarms(connection, columns.in_(list(ended)), columns.in_(list(lasting)))
