"""One leader among all replicas: who holds a session's advisory lock."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from monitor.errors import Unavailable
from monitor.postgres.engine import AWAY

LEADER_LOCK = 0x524C4846_04
# The server must notice a leader whose machine lost power: two minutes, not the system's two hours.
_KEEPALIVES = ("set tcp_keepalives_idle = 60", "set tcp_keepalives_interval = 15", "set tcp_keepalives_count = 4")
_TRY = text("select pg_try_advisory_lock(:lock)").bindparams(lock=LEADER_LOCK)
_LED = text(  # the two halves of a 64-bit advisory lock's number
    "select exists (select from pg_locks where locktype = 'advisory' and granted and objsubid = 1"
    " and database = (select oid from pg_database where datname = current_database())"
    " and classid = :high and objid = :low)"
).bindparams(high=LEADER_LOCK >> 32, low=LEADER_LOCK & 0xFFFFFFFF)


def is_led(connection: Connection) -> bool:
    """Say whether any replica leads now."""
    return bool(connection.execute(_LED).scalar_one())


class Leadership:
    """Holds a connection of its own: when it breaks, the server gives the lock to somebody else.

    Not thread safe. What a leader writes is guarded by its own compare-and-set as well,
    since a leader may learn late that it is none any more.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Return whether this replica leads now; raises `Unavailable` where the server is away."""
        try:
            if self._connection is not None:
                self._connection.execute(text("select 1"))
                return True
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.execute(_TRY).scalar_one():
                for setting in _KEEPALIVES:
                    connection.execute(text(setting))
                self._connection = connection
                return True
            connection.close()
        except DBAPIError as error:
            self.release()
            raise Unavailable(f"PostgreSQL: {str(error.orig).strip()}", plain=AWAY) from error
        return False

    def release(self) -> None:
        """Give the lock up, whatever state the connection is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
