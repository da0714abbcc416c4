"""What the console's overview shows of alarms and streams, and whether any of it has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import blake2b

from sqlalchemy import Connection, Engine, select, text

from monitor.domain.alarm import AlarmKind, AlarmState, Direction, Severity, StoredAlarm
from monitor.domain.finding import IncidentBoard, card_of, choose, leads_of
from monitor.domain.stream import StreamKey
from monitor.drift.heatmap import LiveAlarm, StreamRows
from monitor.drift.stored import ActiveBaseline
from monitor.postgres import schema
from monitor.postgres.alarm_row import stored_alarm
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import LIVE, incident_of
from monitor.postgres.log import trace_numbers
from monitor.postgres.streams import active_baseline
from monitor.postgres.views.overview import PostgresOverview
from monitor.postgres.views.streams import stream_numbers
from monitor.runs.model import ModelRole

MAX_INCIDENTS = 2000  # that are ordered by urgency at once

# Of everything that changes in place, a sum of hashes of its rows: it differs wherever one of them does. Streams change
# together with the fold's place. Of what has ended, and of jobs and models, there is nothing to hash but the newest.
_VERSIONS = text(
    "with live as (select incident_id from incident where state = any(:live))"
    " select"
    "  (select concat_ws('/', baseline_id, revision, next_sequence, next_place)"
    "   from baseline left join fold_position using (baseline_id) where active) as streams,"
    "  (select concat_ws('/', count(*), sum(hashtextextended(i::text, 0)))"
    "   from incident i where incident_id in (select incident_id from live)) as incidents,"
    "  (select concat_ws('/', count(*), sum(hashtextextended(a::text, 0)))"
    "   from alarm a where incident_id in (select incident_id from live)) as alarms,"
    "  (select max(incident_id) from incident) as last_incident,"
    "  (select sum(hashtextextended(concat_ws('/', j.job_id, j.state, j.updated_at, j.progress, j.progress_detail), 0))"
    "   from (select * from job order by job_id desc limit 50) j) as jobs,"
    "  (select max(job_event_id) from job_event) as last_event,"
    "  (select sum(hashtextextended(b::text, 0)) from bake b) as bakes,"
    "  (select sum(hashtextextended(r::text, 0)) from registry r) as registry,"
    "  (select concat_ws('/', count(*), max(created_at)) from reward_model) as models,"
    "  (select sum(hashtextextended(d::text, 0)) from announcement_delivery d) as told,"
    "  (select concat_ws('/', count(*), min(pending_since)) from notification where error is not null and not closed)"
    "   as untold"
)


class PostgresConsole:
    def __init__(self, engine: Engine, overview: PostgresOverview) -> None:
        self._engine = engine
        self._overview = overview

    def versions(self) -> dict[str, str]:
        """Return a text for each part of the overview, which differs once that part has changed."""
        counts = self._overview.overview()
        with transaction(self._engine) as connection:
            found = connection.execute(_VERSIONS, {"live": list(LIVE)}).one()
        incidents = (found.incidents, found.alarms, found.last_incident)
        return {
            "counts": _digest(counts),
            "incidents": _digest(incidents, found.untold),
            "streams": _digest(found.streams, incidents, found.registry),
            "jobs": _digest(found.jobs, found.last_event, found.bakes, found.last_incident),
            "models": _digest(found.registry, found.models, found.told, (found.streams or "").split("/")[:2]),
        }

    def version(self) -> str:
        """Return a text that differs whenever `rows` would."""
        with transaction(self._engine) as connection:
            found = connection.execute(_VERSIONS, {"live": list(LIVE)}).one()
        return _digest(found.streams, found.incidents, found.alarms, found.registry)

    def rows(self, known: ActiveBaseline | None) -> StreamRows:
        """Return the active baseline's streams with their live alarms; *known* itself where it is that baseline."""
        with transaction(self._engine) as connection:
            active = active_baseline(connection, known)
            table = schema.registry.c
            champion = select(table.version).where(table.role == ModelRole.REWARD)
            return StreamRows(
                active,
                {} if active is None else stream_numbers(connection, active.baseline_id),
                _live_alarms(connection),
                connection.execute(champion).scalar_one_or_none(),
            )

    def board(self, *, states: Collection[AlarmState], limit: int) -> IncidentBoard:
        """Return the first *limit* incidents of each urgency among those in *states*, with what their alarms found."""
        table, incident = schema.alarm.c, schema.incident
        query = select(incident).where(incident.c.state.in_(tuple(states))).order_by(incident.c.incident_id.desc())
        with transaction(self._engine) as connection:
            found = [incident_of(row) for row in connection.execute(query.limit(MAX_INCIDENTS))]
            chosen, totals = choose(found, limit)
            members = defaultdict[int, list[StoredAlarm]](list)
            wanted = [one.incident_id for one in chosen]
            for row in connection.execute(select(schema.alarm).where(table.incident_id.in_(wanted))):
                members[row.incident_id].append(stored_alarm(row))
            leads = {number: leads_of(alarms) for number, alarms in members.items()}
            numbered = _numbered(connection, [lead for pairs in leads.values() for lead, _ in pairs])
        cards = [
            card_of(
                one,
                [(numbered[lead.alarm_id], others) for lead, others in leads.get(one.incident_id, ())],
                alarms=len(members[one.incident_id]),
            )
            for one in chosen
        ]
        return IncidentBoard(tuple(cards), totals)


def _live_alarms(connection: Connection) -> list[LiveAlarm]:
    table, incident = schema.alarm.c, schema.incident.c
    key = (table.signal, table.cohort, table.policy_model, table.scorer_version)
    columns = (table.alarm_id, table.kind, table.state, table.severity, table.direction, table.effect_estimate)
    open_ones = select(incident.incident_id).where(incident.state.in_(LIVE))
    query = select(*key, *columns).where(table.incident_id.in_(open_ones), table.state.in_(LIVE))
    return [
        LiveAlarm(
            alarm_id=row.alarm_id,
            stream=StreamKey(*row[:4]),
            kind=AlarmKind(row.kind),
            state=AlarmState(row.state),
            severity=Severity(row.severity),
            direction=None if row.direction is None else Direction(row.direction),
            effect=row.effect_estimate,
        )
        for row in connection.execute(query)
    ]


def _numbered(connection: Connection, alarms: list[StoredAlarm]) -> Mapping[int, StoredAlarm]:
    places = [place for stored in alarms for place in (stored.alarm.place, stored.alarm.onset_place)]
    numbers = trace_numbers(connection, places)
    return {
        stored.alarm_id: replace(stored, trace_number=number, onset_trace_number=onset)
        for stored, number, onset in zip(alarms, numbers[::2], numbers[1::2], strict=True)
    }


def _digest(*told: object) -> str:
    return blake2b(repr(told).encode(), digest_size=9).hexdigest()
