"""How long the console's overview takes over a long history, beside what a sum over the history would take.

    python -m tests.benchmarks.overview [--checkpoints N] [--json FILE]

A database is filled with N checkpoints of 1,000 traces (rows of the log, no texts), all placed, but for 20 that wait.
The overview and the fold lag are asked for as the console and the metrics ask, 200 times each; the last row is the
sum over all checkpoints that the overview was before there were running totals.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from monitor.demo.postgres import EmbeddedPostgres
from monitor.postgres.engine import create_engine_for
from monitor.postgres.migrate import upgrade
from monitor.postgres.views.overview import PostgresOverview
from tests.benchmarks.report import machine, options, table, write_json

WAITING = 20
TIMES = 200
FILL = (
    "insert into log_entry (source, places, last_timestamp, sequence, first_place)"
    " select 'traces', 1000, now() - make_interval(secs => :count - n), n, 1000 * (n - 1)"
    " from generate_series(1, :count) n",
    "insert into log_entry (source, places, last_timestamp)"
    " select 'traces', 1000, now() from generate_series(1, :wait)",
    "insert into checkpoint (entry_id, repeats, duplicates, skipped, preferences, dead_letters)"
    """ select entry_id, 40, 1, '{}', 2, '{"not_json": 3, "too_deep": 1}' from log_entry""",
    "insert into running_total (name, label, value) values ('traces', '', 1000 * :count), ('repeats', '', 40 * :count),"
    " ('duplicates', '', :count), ('preferences', '', 2 * :count), ('dead_letters', 'not_json', 3 * :count),"
    " ('dead_letters', 'too_deep', :count), ('last_timestamp', '', 1000000 * extract(epoch from now())::bigint)",
    "insert into baseline (created_by, note, active, first_place, stop_place, content)"
    " values ('operator', '', true, 0, 2000, '[]')",
    "insert into fold_position (baseline_id, next_sequence, next_place)"
    " select baseline_id, :count, 1000 * (:count - 1) from baseline",
)
SUMS = text(
    "select sum(places), sum(repeats), sum(duplicates), sum(preferences), max(last_timestamp)"
    " from log_entry join checkpoint using (entry_id)"
)


@dataclass(frozen=True, slots=True)
class Row:
    asked: str
    median_milliseconds: float
    slowest_milliseconds: float


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--checkpoints", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, EmbeddedPostgres(Path(folder) / "data") as server:
        upgrade(server.url)
        engine = create_engine_for(server.url)
        rows = measure(engine, arguments.checkpoints)
        engine.dispose()
    print(f"{arguments.checkpoints:,} checkpoints; {machine()}\n")
    print(table(["asked", "median ms", "slowest ms"], [list(asdict(row).values()) for row in rows]))
    write_json(arguments.json, {"checkpoints": arguments.checkpoints, "rows": [asdict(row) for row in rows]})


def measure(engine: Engine, checkpoints: int) -> list[Row]:
    with engine.begin() as connection:
        for statement in FILL:
            connection.execute(text(statement), {"count": checkpoints, "wait": WAITING})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
    views = PostgresOverview(engine, kafka_lag=lambda: None)
    assert views.overview().traces == 1000 * (checkpoints + WAITING)
    assert views.fold_lag() == 1000 * (1 + WAITING)
    return [
        timed("overview", views.overview, TIMES),
        timed("fold lag", views.fold_lag, TIMES),
        timed("sum over all checkpoints", lambda: sums(engine), 5),
    ]


def sums(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(SUMS).all()


def timed(asked: str, ask: Callable[[], object], times: int) -> Row:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - started))
    return Row(asked, statistics.median(took), max(took))


if __name__ == "__main__":
    main()
