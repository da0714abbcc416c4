"""One leader among all replicas: who holds the lease, by the database's own clock."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from monitor.errors import Fenced, Unavailable
from monitor.postgres.engine import named_failures

ROLE = "controller"
LEASE_SECONDS = 30.0
RENEW_SECONDS = 5.0
_SESSION_LOCKS = 0x524C4846  # first half of the number of the lock that a holder's session keeps; the second is its own
# A lease holds while it is renewed in time by a process that lives. One that dies ends its session, so that nobody
# waits for the lease to run out; one that hangs keeps its session, and the lease runs out.
_HOLDS = (
    "(leader_lease.renewed_at >= clock_timestamp() - make_interval(secs => :lease_seconds)"
    " and exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 2"
    " and database = (select oid from pg_database where datname = current_database())"
    " and classid = :session_locks and objid = leader_lease.session_lock::oid))"
)
_MINE = "owner = :owner, session_lock = :session_lock, renewed_at = clock_timestamp()"
_WORDS = {"lease_seconds": LEASE_SECONDS, "session_locks": _SESSION_LOCKS}
_IS_LED = text(f"select exists (select from leader_lease where role = :role and {_HOLDS})")  # noqa: S608
_TAKE = text(f"update leader_lease set {_MINE} where role = :role and (owner = :owner or not {_HOLDS})")  # noqa: S608
_TAKE_FIRST = text(
    "insert into leader_lease (role, owner, session_lock, renewed_at)"
    " values (:role, :owner, :session_lock, clock_timestamp()) on conflict do nothing"
)
_KEEP = text("select from leader_lease where role = :role and owner = :owner for share")
_GIVE_UP = text("delete from leader_lease where role = :role and owner = :owner")
log = structlog.get_logger(__name__)


def is_led(connection: Connection) -> bool:
    """Say whether any replica leads now."""
    return bool(connection.execute(_IS_LED, _WORDS | {"role": ROLE}).scalar_one())


class Leadership:
    """Holds the lease of one *role* over a connection of its own. Not thread safe.

    A leader may learn late that it is none any more: RENEW_SECONDS after another
    took over, or when a process that was stopped goes on. So what it does for
    all goes through `fenced_engine`.
    """

    def __init__(self, engine: Engine, *, role: str = ROLE, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._role = role
        self._clock = clock
        self._session_lock = secrets.randbelow(2**31)
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{self._session_lock:08x}"
        self._connection: Connection | None = None
        self._renewed_at: float | None = None  # by the clock; None while another leads

    def acquire(self) -> bool:
        """Take the lease or renew it; return whether this replica leads now.

        Raises `Unavailable` where the server is away.
        """
        if self._renewed_at is not None and self._clock() - self._renewed_at < RENEW_SECONDS:
            return True
        asked_at = self._clock()
        try:
            with named_failures():
                connection = self._connected()
                mine = _WORDS | {"role": self._role, "owner": self._owner, "session_lock": self._session_lock}
                leads = any(connection.execute(statement, mine).rowcount == 1 for statement in (_TAKE, _TAKE_FIRST))
        except Unavailable:
            self._disconnect()
            raise
        if leads and self._renewed_at is None:
            log.info("leads", owner=self._owner)
        if not leads and self._renewed_at is not None:
            log.warning("leads_no_more", owner=self._owner)
        self._renewed_at = asked_at if leads else None
        return leads

    def fenced_engine(self) -> Engine:
        """Return the engine with every transaction fenced.

        A transaction of it raises `Fenced` unless this replica has the lease, and
        nobody else gets the lease before that transaction's end.
        """
        engine = self._engine.execution_options()
        event.listen(engine, "begin", self._keep)
        return engine

    def _keep(self, connection: Connection) -> None:
        """Hold the lease to the transaction's end, renewed first: one duty may take longer than it lasts."""
        if self._renewed_at is not None:
            self.acquire()
        if connection.execute(_KEEP, {"role": self._role, "owner": self._owner}).first() is None:
            self._renewed_at = None
            log.warning("leads_no_more", owner=self._owner)
            raise Fenced("another replica leads now")

    def release(self) -> None:
        """Let another replica lead at once, whatever state the connection is in."""
        if self._connection is not None:
            with suppress(DBAPIError):  # the session's end says the same
                self._connection.execute(_GIVE_UP, {"role": self._role, "owner": self._owner})
        self._disconnect()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection.execute(
                text("select pg_advisory_lock(:locks, :lock)"), {"locks": _SESSION_LOCKS, "lock": self._session_lock}
            )
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection, self._renewed_at = self._connection, None, None
        if connection is not None:
            connection.invalidate()
            connection.close()
