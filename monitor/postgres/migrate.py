"""Bring a database to the schema this program needs, and prove that it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from monitor.errors import InvalidSetting
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.partitions import make_partitions_ahead
from monitor.postgres.schema import metadata

_PACKAGED = Path(__file__).parents[1] / "_migrations"
_CHECKOUT = Path(__file__).parents[2] / "migrations"
_PARTITIONS = text("select relname from pg_class where relispartition and relkind in ('r', 'p')")
UPGRADE_LOCK = 0x524C4846_01  # one upgrade at a time, whoever starts it


def upgrade(url: str) -> None:
    """Run every migration the database lacks; safe to call from several replicas at once."""
    engine = create_engine_for(url, pool_size=2)
    try:
        with transaction(engine) as connection:
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({UPGRADE_LOCK})")
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            make_partitions_ahead(connection)
    finally:
        engine.dispose()


def differences(connection: Connection) -> list[str]:
    """Return in words how the migrated schema differs from the declared one; empty when equal."""
    found = [] if revision_of(connection) == head() else [f"revision {revision_of(connection)}; wanted {head()}"]
    partitions = set(connection.execute(_PARTITIONS).scalars())  # they follow their table
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": False,
            "include_name": lambda name, kind, _: kind != "table" or name not in partitions,
        },
    )
    return found + [str(change) for change in compare_metadata(context, metadata)]


def require_current(connection: Connection) -> None:
    """Raise `InvalidSetting` unless the database is at this program's revision."""
    revision = revision_of(connection)
    if revision != head():
        raise InvalidSetting(
            f"postgres.url: the database is at revision {revision}; wanted {head()}: run `rlhf-monitor db upgrade`"
        )


def head() -> str:
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT))
    return config
