"""Incidents in a database, and leaders that tell of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from monitor.app.notifying import composer_of, receivers_of
from monitor.domain.incident import NO_WAIT
from monitor.notify.telling import Teller
from monitor.postgres.engine import transaction
from monitor.postgres.incidents import settle
from monitor.postgres.notifications import PostgresNotifications
from monitor.settings.root import Settings
from tests.program import wait_for

SECRET = "between the two alone"


def webhook_at(url: str, **changes: object) -> dict[str, object]:
    return {"url": url, "secret": SECRET, "update_seconds": 0.0, "timeout_seconds": 5.0, **changes}


def telling(*, public_url: str | None = "https://monitor.example", **receivers: Mapping[str, object]) -> Settings:
    """Return settings in which *receivers* of each kind are told, by name."""
    return Settings.model_validate({"notify": receivers, "web": {"public_url": public_url}})


@dataclass
class Leader:
    """What a leader does to tell of incidents, a turn at a time."""

    engine: Engine
    settings: Settings

    def __post_init__(self) -> None:
        self.store = PostgresNotifications(self.engine, NO_WAIT)
        self.counted: list[tuple[str, str]] = []
        composer = composer_of(self.settings, self.engine)
        receivers = receivers_of(self.settings)
        names = {one.name for one in receivers}
        self.tellers = [
            Teller(one, self.store, composer, lambda *told: self.counted.append(told), others=names - {one.name})
            for one in receivers
        ]

    def turn(self) -> None:
        snapshot = self.store.read([teller.receiver.name for teller in self.tellers])
        for teller in self.tellers:
            teller.turn(snapshot)

    def until(self, condition: Callable[[], bool], what: str = "that it is told") -> None:
        def told() -> bool:
            self.turn()
            return condition()

        wait_for(told, what)

    def idle(self, turns: int = 10) -> None:
        """Take *turns*, with time for an attempt to begin and end between them."""
        for _ in range(turns):
            self.turn()
            time.sleep(0.02)


def stored(engine: Engine, column: str) -> list[Any]:
    """Return a column of what is stored of receivers, by receiver and subject."""
    query = text(f"select {column} from notification order by receiver, subject")  # noqa: S608 - a test's own word
    with transaction(engine) as connection:
        return list(connection.execute(query).scalars())


def due_now(engine: Engine) -> None:
    """Let no time have to pass before the next attempt."""
    with transaction(engine) as connection:
        connection.execute(text("update notification set retry_at = now()"))


def recover(engine: Engine) -> None:
    """End every incident with its alarms."""
    with transaction(engine) as connection:
        connection.execute(text("update alarm set state = 'recovered', recovered_at = now() where state = 'open'"))
        settle(connection, connection.execute(text("select incident_id from incident")).scalars().all())


def open_incidents(engine: Engine, count: int) -> None:
    """Store *count* incidents that have no alarms."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "insert into incident"
                " (kind, state, severity, opened_at, onset_timestamp, onset_place, members, summary, causes)"
                " select 'drift', 'open', 'alert', now(), now(), n, 1, 'signal ' || n, '[]'"
                " from generate_series(1, :count) n"
            ),
            {"count": count},
        )
