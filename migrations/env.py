"""Alembic's entry: runs the migrations on the connection it is handed."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection

from monitor.postgres.engine import create_engine_for
from monitor.postgres.schema import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


handed: Connection | None = context.config.attributes.get("connection")
if handed is not None:
    run(handed)
else:
    with create_engine_for(os.environ["MONITOR_POSTGRES__URL"]).begin() as own:
        run(own)
