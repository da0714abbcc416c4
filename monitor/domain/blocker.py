"""A transaction that keeps what is stored from being folded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

NAMED_AFTER_SECONDS = 60.0  # younger ones are everyday life


@dataclass(frozen=True, slots=True)
class PlacementBlocker:
    """The server's oldest running transaction, in whatever database, where rows wait for its end."""

    kind: str  # "transaction" or "prepared transaction"
    database: str
    user: str
    name: str  # what the client calls itself, or the prepared transaction's id
    process: int | None  # of the server; None where it is a prepared transaction
    since: datetime | None  # None where the role may not see it
    seconds: float  # its age, or for how long rows have waited for it where that cannot be seen

    def __str__(self) -> str:
        since = f"open since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else f"open for {self.seconds:.0f} s"
        end = f"select pg_terminate_backend({self.process})" if self.process else "rollback prepared"
        return (
            f"a {self.kind} keeps stored traces from being folded: {self.name or 'unnamed'!r} of user {self.user!r}"
            f" in database {self.database!r}, {since}; it can be ended by {end}"
        )
