"""Open what commands read and change: the server that was chosen, and else the database of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.cli.desk import Desk
from monitor.cli.server import chosen


@contextmanager
def open_desk() -> Iterator[Desk]:
    """Open the server that was chosen, and else the database, for the block."""
    server = chosen()
    if server is None:
        from monitor.cli.database import open_database
        from monitor.cli.local_desk import LocalDesk

        with open_database() as (engine, settings):
            yield LocalDesk(engine, settings)
    else:
        from monitor.cli.http import open_api
        from monitor.cli.remote_desk import RemoteDesk

        with open_api(server) as api:
            yield RemoteDesk(api)
