"""A leader that decides a bake window, and is killed in the middle."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from monitor.domain.alarm import Severity
from monitor.postgres.bakes import BakeLog
from monitor.postgres.engine import create_engine_for
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.bake import Baker, BakeRules
from monitor.retraining.release import Releases
from monitor.runs.result import RunResult


class NoBaselines:
    """A roll-back plans none."""

    def plan(self, result: RunResult) -> None:
        raise AssertionError(result)


def main(url: str) -> None:
    engine = create_engine_for(url)
    begin = PostgresTransactions(engine)
    rules = BakeRules(max_hours=72.0, mode="automatic", severity=Severity.ALERT)
    Baker(BakeLog(engine), begin, Releases(begin, NoBaselines()), rules).turn(datetime.now(UTC))


if __name__ == "__main__":
    main(sys.argv[1])
