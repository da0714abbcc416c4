"""The unit of work on PostgreSQL: one transaction, and the repositories that speak in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine

from monitor.postgres.alarms import PostgresAlarmFacts
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.baselines import PostgresBaselines
from monitor.postgres.engine import transaction
from monitor.postgres.jobs import PostgresJobs
from monitor.postgres.preferences import count_pairs
from monitor.postgres.registry import PostgresRegistry


class PostgresTransactions:
    """`retraining.work.Transactions`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def __call__(self) -> Iterator[PostgresWork]:
        with transaction(self._engine) as connection:
            yield PostgresWork(connection)


class PostgresWork:
    """`retraining.work.UnitOfWork`."""

    def __init__(self, connection: Connection) -> None:
        self.jobs = PostgresJobs(connection)
        self.registry = PostgresRegistry(connection)
        self.baselines = PostgresBaselines(connection)
        self.alarms = PostgresAlarmFacts(connection)
        self.preferences = _Preferences(connection)
        self.audit = PostgresAudit(connection)


class _Preferences:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def count_since(self, time: datetime | None) -> int:
        return count_pairs(self._connection, time)
