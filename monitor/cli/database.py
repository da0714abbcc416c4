"""The database that the settings name, as the commands open it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from monitor.cli.server import refuse_remote
from monitor.domain.order import Actor, Role
from monitor.settings.load import load_settings
from monitor.settings.root import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def open_database() -> Iterator[tuple[Engine, Settings]]:
    """Open it for the block; raise `InvalidSetting` where it is at another release's schema."""
    from monitor.postgres.engine import create_engine_for, transaction
    from monitor.postgres.migrate import require_current

    refuse_remote("this command works on the database")
    settings = load_settings()
    engine = create_engine_for(settings.postgres.url.get_secret_value(), pool_size=2)
    try:
        with transaction(engine) as connection:
            require_current(connection)
        yield engine, settings
    finally:
        engine.dispose()


def operator() -> Actor:
    """Whoever can open the database is an operator; the audit keeps the login name."""
    return Actor(getpass.getuser(), Role.OPERATOR)
