"""A leader that tells of incidents and is killed: before a message is stored as sent, or before it is sent at all."""

from __future__ import annotations

import sys
import time

from monitor.app.notifying import composer_of, receivers_of
from monitor.domain.incident import NO_WAIT
from monitor.notify.notice import Failed, Notice, Taken
from monitor.notify.telling import Teller
from monitor.postgres.engine import create_engine_for
from monitor.postgres.notifications import PostgresNotifications
from monitor.settings.root import Settings


def main(settings: str, stop_at: str) -> None:
    given = Settings.model_validate_json(settings)
    engine = create_engine_for(given.postgres.url.get_secret_value())
    store, (receiver,) = PostgresNotifications(engine, NO_WAIT), receivers_of(given)

    def stand_still(_notice: Notice, _handle: str | None) -> Taken | Failed:
        print("here", flush=True)
        time.sleep(60)
        return Taken("never")

    def post(notice: Notice, handle: str | None) -> Taken | Failed:
        answer = receiver.deliver(notice, handle)
        print("here", flush=True)
        time.sleep(60)
        return answer

    deliver = {"stored": stand_still, "sent": post}[stop_at]
    told = type(receiver)(receiver.name, receiver.kind, receiver.rules, deliver, receiver.timeout_seconds)
    teller = Teller(told, store, composer_of(given, engine), lambda *_: None)
    while True:
        teller.turn(store.read([receiver.name]))
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
