"""The migrations make exactly the declared schema, from nothing, at once or twice at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text

from monitor.demo.postgres import EmbeddedPostgres
from monitor.errors import InvalidSetting
from monitor.postgres.engine import create_engine_for
from monitor.postgres.migrate import differences, head, require_current, upgrade

pytestmark = pytest.mark.postgres


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield postgres.database_url(name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    engine = create_engine_for(empty_url)
    yield engine
    engine.dispose()


def test_the_migrated_schema_is_the_declared_one(empty_url: str, engine: Engine) -> None:
    upgrade(empty_url)
    with engine.begin() as connection:
        assert differences(connection) == []
        require_current(connection)


def test_replicas_that_upgrade_at_once_wait_for_each_other(empty_url: str, engine: Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, [empty_url] * 3))
    with engine.begin() as connection:
        assert differences(connection) == []


def test_a_database_that_was_not_upgraded_is_refused_with_the_command_that_mends_it(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(InvalidSetting, match=f"revision None; wanted {head()}: run `rlhf-monitor db upgrade`"):
            require_current(connection)
        assert f"revision None; wanted {head()}" in differences(connection)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("alter table trace drop column error", "error"),
        ("alter table trace alter column cohort drop not null", "cohort"),
        ("drop index ix_log_entry_first_place", "ix_log_entry_first_place"),
        ("alter table score alter column mean type real", "mean"),
        ("create table stray (number int)", "stray"),
    ],
    ids=["a column gone", "a null allowed", "an index gone", "another type", "a stray table"],
)
def test_what_differs_is_told(engine: Engine, empty_url: str, change: str, named: str) -> None:
    upgrade(empty_url)
    with engine.begin() as connection:
        connection.execute(text(change))
        (difference,) = differences(connection)
    assert named in difference


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url", "sqlite:///file.db"])
def test_what_is_no_postgres_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"postgres\.url"):
        create_engine_for(url)
