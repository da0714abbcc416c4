"""`run` and `db`: the daemon and its database."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import typer

from monitor.cli.terminal import complain, say
from monitor.errors import InvalidSetting
from monitor.settings.load import load_settings
from monitor.settings.root import Settings

if TYPE_CHECKING:
    from types import FrameType

FORCED_EXIT_SECONDS = 10.0  # past the drain: a thread that hangs does not keep the process

db = typer.Typer(help="The database's schema.", no_args_is_help=True)


def run() -> None:
    """Read traces, score them, follow the drift, answer it, and serve API, console and metrics."""
    from monitor.app.interpreter import trim_heap, tune_interpreter
    from monitor.app.wiring import Daemon
    from monitor.signals.language_model import load_languages
    from monitor.telemetry.logs import configure_logging

    settings = load_settings()
    configure_logging(level=settings.log.level, style=settings.log.format)
    stop = stop_on_signals(settings)
    daemon = Daemon(settings)
    load_languages()
    tune_interpreter()
    trim_heap(stop)
    daemon.run(stop)


@db.command("upgrade")
def upgrade() -> None:
    """Bring the database to the schema that this version needs."""
    from monitor.postgres.migrate import head
    from monitor.postgres.migrate import upgrade as migrate

    migrate(load_settings().postgres.url.get_secret_value())
    say(f"the database is at revision {head()}")


@db.command("check")
def check() -> None:
    """Compare the migrated schema with the declared one; exit 1 where they differ."""
    from monitor.postgres.engine import create_engine_for, transaction
    from monitor.postgres.migrate import differences

    engine = create_engine_for(load_settings().postgres.url.get_secret_value(), pool_size=2)
    try:
        with transaction(engine) as connection:
            found = differences(connection)
    finally:
        engine.dispose()
    for difference in found:
        say(str(difference))
    if found:
        raise typer.Exit(1)
    say("the migrated schema equals the declared one")


def stop_on_signals(settings: Settings) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; the process ends in bounded time after the first."""
    stop = threading.Event()

    def leave(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            return
        stop.set()
        timer = threading.Timer(settings.drain_seconds + FORCED_EXIT_SECONDS, _force_exit)
        timer.daemon = True
        timer.start()

    if threading.current_thread() is not threading.main_thread():
        raise InvalidSetting("signals can be handled in the main thread alone")
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    return stop


def _force_exit() -> None:
    complain("rlhf-monitor: still not drained; ending now")
    os._exit(1)
