"""Which own signals fail in which worker: written by each, read by all, so that every replica tells the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, text

from monitor.domain.view import WorkerTrouble
from monitor.own.failures import Trouble
from monitor.postgres.engine import transaction

FRESH_SECONDS = 60.0  # a worker that has not told for so long has ended
_TELL = text(
    "insert into signal_trouble (worker, signal, failures, why) values (:worker, :signal, :failures, :why)"
    " on conflict (worker, signal) do update set failures = excluded.failures, why = excluded.why, told_at = now()"
)
_FORGET = text("delete from signal_trouble where told_at < now() - interval '1 day'")
_READ = text(
    "select signal, worker, failures, why from signal_trouble"
    " where told_at > now() - make_interval(secs => :seconds) order by signal, failures desc, worker"
)


class PostgresSignalTroubles:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def tell(self, worker: str, troubles: Mapping[str, Trouble]) -> None:
        """Write what has failed in *worker* by now; what it does not tell again is forgotten in a minute."""
        if not troubles:
            return
        rows = [
            {"worker": worker, "signal": signal, "failures": found.failures, "why": found.last}
            for signal, found in sorted(troubles.items())
        ]
        with transaction(self._engine) as connection:
            connection.execute(_TELL, rows)
            connection.execute(_FORGET)

    def troubles(self) -> Mapping[str, Sequence[WorkerTrouble]]:
        """Return what fails in the workers that run, by signal, the one with the most failures first."""
        found: dict[str, list[WorkerTrouble]] = {}
        with transaction(self._engine) as connection:
            for row in connection.execute(_READ, {"seconds": FRESH_SECONDS}):
                found.setdefault(row.signal, []).append(WorkerTrouble(row.worker, row.failures, row.why))
        return found
