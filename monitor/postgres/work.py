"""The unit of work on PostgreSQL: one transaction, and the repositories that speak in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from monitor.labels.pairs import PairRules
from monitor.postgres.alarms import PostgresAlarmFacts
from monitor.postgres.announcements import PostgresAnnouncements
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.bakes import PostgresBakes
from monitor.postgres.baselines import PostgresBaselines
from monitor.postgres.engine import transaction
from monitor.postgres.jobs import PostgresJobs
from monitor.postgres.policy_texts import count_thumbs
from monitor.postgres.preference_sets import keep_set
from monitor.postgres.preferences import count_pairs
from monitor.postgres.refusal_rows import count_refusals
from monitor.postgres.registry import PostgresRegistry
from monitor.postgres.shadow import PostgresShadows
from monitor.runs.artifact import HashedFile


class PostgresTransactions:
    """`retraining.work.Transactions`."""

    def __init__(self, engine: Engine, rules: PairRules = PairRules()) -> None:
        self._engine = engine
        self._rules = rules

    @contextmanager
    def __call__(self) -> Iterator[PostgresWork]:
        with transaction(self._engine) as connection:
            yield PostgresWork(connection, self._rules)


class PostgresWork:
    """`retraining.work.UnitOfWork`."""

    def __init__(self, connection: Connection, rules: PairRules) -> None:
        self.jobs = PostgresJobs(connection)
        self.registry = PostgresRegistry(connection)
        self.baselines = PostgresBaselines(connection)
        self.alarms = PostgresAlarmFacts(connection)
        self.bakes = PostgresBakes(connection)
        self.shadows = PostgresShadows(connection)
        self.announcements = PostgresAnnouncements(connection)
        self.preferences = _Preferences(connection, rules)
        self.audit = PostgresAudit(connection)


class _Preferences:
    def __init__(self, connection: Connection, rules: PairRules) -> None:
        self._connection = connection
        self._rules = rules

    def count_since(self, time: datetime | None) -> int:
        return count_pairs(self._connection, time, self._rules)

    def count_thumbs_since(self, time: datetime | None) -> int:
        return count_thumbs(self._connection, time)

    def count_refusals_since(self, time: datetime | None) -> int:
        return count_refusals(self._connection, time)

    def keep_set(self, file: HashedFile, card: Path) -> None:
        keep_set(self._connection, file, card)
