"""The counts over everything stored, and how far the fold is behind."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, text

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.observation import moment_of
from monitor.domain.view import Overview
from monitor.postgres.engine import transaction
from monitor.postgres.leader import is_led
from monitor.postgres.log import COMBINED, TOTALS_OF
from monitor.postgres.placement import long_blocker

# One statement, so one snapshot: an entry that is placed meanwhile is counted once.
_TOTALS = text(
    f"select name, label, ({COMBINED})::bigint as value from (select name, label, value from running_total"  # noqa: S608
    f" union all {TOTALS_OF.format(entries='e.sequence is null')}) as counted group by name, label order by name, label"
)
_OPEN = text(
    "select (select count(*) from alarm where state = :state) as alarms,"
    " (select count(*) from incident where state = :state and severity = :severity) as incidents"
)
# Of traces: what other sources hold is folded with them, and counts as none.
_FOLD_LAG = text(
    "select coalesce(sum(e.places - least(greatest(p.next_place - e.first_place, 0), e.places)), 0)"
    " from fold_position p join baseline using (baseline_id) join log_entry e on e.source = 'traces'"
    "   and e.sequence >= p.next_sequence where active"
    " union all select sum(places) from log_entry where source = 'traces' and sequence is null"
    "   and exists (select from baseline where active)"
)


class PostgresOverview:
    """Counts by running totals and the few entries that have no place yet, never by a sum over history."""

    def __init__(self, engine: Engine, *, kafka_lag: Callable[[], int | None]) -> None:
        self._engine = engine
        self.kafka_lag = kafka_lag

    def overview(self) -> Overview:
        with transaction(self._engine) as connection:
            totals = {(row.name, row.label): row.value for row in connection.execute(_TOTALS)}
            still_open = connection.execute(_OPEN, {"state": AlarmState.OPEN, "severity": Severity.ALERT}).one()
            lag = _fold_lag(connection)
            led = is_led(connection)
            blocker = long_blocker(connection)
        last = totals.get(("last_timestamp", ""))
        return Overview(
            traces=totals.get(("traces", ""), 0),
            repeats=totals.get(("repeats", ""), 0),
            duplicates=totals.get(("duplicates", ""), 0),
            preferences=totals.get(("preferences", ""), 0),
            labels=totals.get(("labels", ""), 0),
            dead_letters={reason: value for (name, reason), value in totals.items() if name == "dead_letters"},
            skipped={reason: value for (name, reason), value in totals.items() if name == "skipped"},
            open_alarms=still_open.alarms,
            paging_incidents=still_open.incidents,
            fold_lag_traces=lag,
            kafka_lag_records=self.kafka_lag(),
            has_leader=led,
            last_timestamp=None if last is None else moment_of(last),
            placement_blocked_by=None if blocker is None else str(blocker),
        )

    def fold_lag(self) -> int:
        """Return how many traces are appended and not folded under the active baseline; none without one.

        The entries that wait for their place count too, so that a log that is no longer placed is told.
        """
        with transaction(self._engine) as connection:
            return _fold_lag(connection)


def _fold_lag(connection: Connection) -> int:
    return sum(int(traces or 0) for traces in connection.execute(_FOLD_LAG).scalars())
