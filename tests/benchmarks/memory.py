"""The daemon's memory while it reads, as its process grows older.

    python -m tests.benchmarks.memory [--records N] [--parts N] [--json FILE]

The demo's traffic is written to Apache Kafka by this process and read by `rlhf-monitor run` in one of its own, with the
controller folding what it stored. After each part of the records, once all of it is stored and folded, the daemon's
memory is told as Linux counts it: "own" is what it has allocated (RssAnon), "of files" the libraries and weights it
has mapped (RssFile), which the system takes back when it needs to, and "peak" the most of both so far (VmHWM). What
the process that reads refusals has allocated is told beside it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from monitor.demo.traffic import NORMAL, traffic
from monitor.errors import Unavailable
from tests.benchmarks.harness import servers
from tests.benchmarks.report import machine, options, table, write_json
from tests.benchmarks.throughput import BASELINE_TRACES, BATCH, COHORT_KEY, START, STEP
from tests.processes import children_of
from tests.program import Program, Site

PRODUCED = 10_000  # records at once: this process need not hold a part of a million
WAIT_SECONDS = 900.0
POLL_SECONDS = 0.2
KIB = 1024


class Whole(Site):
    """A site whose daemon does all it does by default, but for rewards."""

    def form(self) -> dict[str, dict[str, Any]]:
        form = super().form()
        form["kafka"] = {name: form["kafka"][name] for name in form["kafka"] if name != "max_poll_records"}
        form["ingest"] = {"cohort_keys": [COHORT_KEY], "batch_max_traces": BATCH}
        form["drift"] = {"baseline_traces": BASELINE_TRACES}
        return form


@dataclass(frozen=True, slots=True)
class Reading:
    records: int
    seconds: float  # since the first part was begun
    own_mib: float
    of_files_mib: float
    peak_mib: float
    reader_mib: float  # of the process that reads refusals


def main() -> int:
    parser = options("The daemon's memory after each part of many records.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=20, help="after how many parts to look")
    arguments = parser.parse_args()
    readings = []
    for reading in read(arguments.records // arguments.parts, arguments.parts):
        readings.append(reading)
        print(f"{reading.records:>12,} records  {reading.own_mib:,.0f} MiB own", file=sys.stderr, flush=True)
    names = ("records", "seconds", "own, MiB", "of files, MiB", "peak, MiB", "reader's own, MiB")
    print(table(names, [tuple(asdict(reading).values()) for reading in readings]))
    later = readings[len(readings) // 2 :]
    slope, _ = np.polyfit([one.records for one in later], [one.own_mib for one in later], 1)
    print(f"\nover the second half {slope * 1e6:+,.1f} MiB a million: {slope * 1e7:+,.0f} MiB over ten million")
    print(machine())
    told = [asdict(one) for one in readings]
    write_json(arguments.json, {"readings": told, "mib_a_million": float(slope * 1e6), "machine": machine()})
    return 0


def read(step: int, parts: int) -> Iterator[Reading]:
    made = traffic(NORMAL, count=step * parts, seed=1, start=START, step=STEP)
    with servers(durable=True) as given, given.database() as url, tempfile.TemporaryDirectory() as folder:
        if not given.kafka.is_real:
            raise Unavailable("the embedded broker keeps 5 MB; this benchmark needs Apache Kafka")
        site = Whole(given.kafka, url)
        with Program(site, Path(folder)) as program, psycopg.connect(url, autocommit=True) as connection:
            begun = time.perf_counter()
            for part in range(1, parts + 1):
                left = step
                while left:
                    given.produce(site.traces, islice(made, min(left, PRODUCED)))
                    left -= min(left, PRODUCED)
                wait(connection, program, part * step)
                yield reading(program.pid, part * step, time.perf_counter() - begun)


def wait(connection: psycopg.Connection[Any], program: Program, records: int) -> None:
    """Return once *records* are stored, and folded but for what awaits its turn."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        program.check()
        row = connection.execute("select coalesce(max(next_offset), 0) from consumer_offset").fetchone()
        if row is not None and row[0] >= records:
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"{records} records were not read: {row}; {program.log()[-2000:]}")
        time.sleep(POLL_SECONDS)


def reading(pid: int, records: int, seconds: float) -> Reading:
    held = _held(pid)
    reader = sum(_held(child)["RssAnon:"] for child in children_of(pid))
    return Reading(records, seconds, held["RssAnon:"], held["RssFile:"], held["VmHWM:"], reader)


def _held(pid: int) -> dict[str, float]:
    """Return what Linux counts of a process's memory, in MiB."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {words[0]: int(words[1]) / KIB for words in lines if len(words) == 3 and words[2] == "kB"}


if __name__ == "__main__":
    sys.exit(main())
