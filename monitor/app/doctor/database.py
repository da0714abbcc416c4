"""The database: reachable, new enough, at this release's schema, with the rights that the daemon needs."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from sqlalchemy import Engine

from monitor.domain.checkup import Finding, fail, ok, warn
from monitor.errors import InvalidSetting, Unavailable
from monitor.postgres.checkup import DatabaseState, read_database
from monitor.settings.root import Settings

LEAST_VERSION = 140_000
PARTS = 2  # processes that a roll-out runs at once
SKEW_WARNS, SKEW_FAILS = 2.0, 300.0  # seconds: leases are in the database's time, and a trace's age in both


def check_database(engine: Engine, settings: Settings) -> Generator[Finding, None, bool]:
    """Yield what is found, and return whether the daemon's tables can be read."""
    try:
        state = read_database(engine)
    except (Unavailable, InvalidSetting) as error:
        yield fail("database", str(error), "start PostgreSQL, or mend postgres.url, and let this machine in")
        return False
    yield from _server(state, settings)
    yield _schema(state)
    yield from _rights(state)
    yield _clock(state)
    return state.revision == state.wanted_revision and not any(right.endswith("SELECT") for right in state.lacking)


def _server(state: DatabaseState, settings: Settings) -> Iterator[Finding]:
    told = f"PostgreSQL {state.version}"
    if state.number < LEAST_VERSION:
        yield fail("database", told, "install PostgreSQL 14 or newer")
    elif state.is_standby:
        yield fail("database", f"{told}, a standby: nothing can be written", "name the primary in postgres.url")
    else:
        yield ok("database", told)
    wanted = PARTS * 2 * settings.postgres.pool_size
    if wanted > state.connections:
        yield warn(
            "database connections",
            f"two daemons may open {wanted}, and the server takes {state.connections}",
            "lower postgres.pool_size, or raise max_connections there",
        )
    if state.has_tls or state.is_local:
        yield ok("database TLS", "encrypted" if state.has_tls else "not needed: it is on this machine")
    else:
        yield warn(
            "database TLS",
            "the connection is not encrypted, and traces go over it",
            "add sslmode=verify-full and sslrootcert to postgres.url",
        )


def _schema(state: DatabaseState) -> Finding:
    if state.revision == state.wanted_revision:
        return ok("database schema", f"at revision {state.revision}, as this release wants it")
    return fail(
        "database schema",
        f"at revision {state.revision}, and this release wants {state.wanted_revision}",
        "run `rlhf-monitor db upgrade`, or install the release that the database belongs to",
    )


def _rights(state: DatabaseState) -> Iterator[Finding]:
    if state.lacking:
        shown = ", ".join(state.lacking[:5]) + (f" and {len(state.lacking) - 5} more" if len(state.lacking) > 5 else "")
        yield fail("database rights", f"lacking: {shown}", "grant them to the user of postgres.url")
    elif not state.may_create:
        yield fail(
            "database rights",
            "the user may not create tables, and each day's traces get a partition of their own",
            "grant create on schema to the user of postgres.url",
        )
    else:
        yield ok("database rights", "it may read and write every table, and make partitions")


def _clock(state: DatabaseState) -> Finding:
    ahead, error = state.clock_ahead_seconds, state.clock_error_seconds
    told = f"this machine's clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'} (to {error:.1f} s)"
    surely = max(0.0, abs(ahead) - error)
    if surely > SKEW_FAILS:
        return fail("clock", told, "let both machines keep their time by NTP")
    return warn("clock", told, "let both machines keep their time by NTP") if surely > SKEW_WARNS else ok("clock", told)
