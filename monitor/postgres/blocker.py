"""What keeps entries of the log from getting their place: an older transaction, anywhere on the server."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, text

from monitor.postgres.engine import transaction

# A role that may not see other sessions' transactions still sees for how long the oldest entry has waited.
_BLOCKER = text(
    "with waiting as (select min(created_at) as since from log_entry where sequence is null), running as ("
    "  select xact_start as since, format('session %s (%s, database %s)', pid, application_name, datname) as name"
    "  from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid()"
    "  union all select prepared, format('prepared transaction %s in database %s', gid, database)"
    "  from pg_prepared_xacts"
    ") select coalesce(running.name, '') as name,"
    "  extract(epoch from clock_timestamp() - least(running.since, waiting.since))::float8 as seconds"
    "  from waiting left join running on true where waiting.since is not null order by seconds desc limit 1"
)


@dataclass(frozen=True, slots=True)
class Blocker:
    name: str  # the session or the prepared transaction; empty where this role may not see it
    seconds: float  # how long it has been open


def find_blocker(engine: Engine) -> Blocker | None:
    """Return the oldest transaction that entries wait for; None where none waits.

    An entry that was appended a moment ago waits for whoever appended it, so a
    blocker of less than some seconds means nothing. Raises `Unavailable`.
    """
    with transaction(engine) as connection:
        row = connection.execute(_BLOCKER).one_or_none()
    return Blocker(row.name, row.seconds) if row is not None else None
