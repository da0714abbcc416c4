"""Two workers, each a process, against one: traces a second, and what every process spends on a trace.

    python -m tests.benchmarks.two_workers [--records N] [--no-own-process] [--json FILE]

The demo's traffic is written to a topic of two partitions while the workers, which have joined
the group, are stopped by a signal: so no time of joining or writing is measured. The rate counts
from the moment when every partition has a checkpoint to the last. CPU seconds are those of the
workers and the processes they read refusals by, of all of PostgreSQL's processes and of the
broker. Where they add up to all cores, more workers on this machine cannot read more: what bounds
them is told as well. `--no-own-process` has each worker read refusals itself.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from monitor.demo.traffic import NORMAL, traffic
from monitor.errors import Unavailable
from tests.benchmarks.harness import Servers, servers
from tests.benchmarks.report import machine, options, table, write_json
from tests.benchmarks.throughput import START, STEP
from tests.processes import children_of, stat_of
from tests.program import Program, Site
from tests.real_kafka import RealKafka

SETTLE_SECONDS = 5.0  # without a partition that begins: the group has shared them out
WAIT_SECONDS = 300.0
POLL_SECONDS = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


class TwoPartitions(Site):
    """A site whose workers keep nothing but traces, and outlast a stop of some seconds."""

    def form(self) -> dict[str, dict[str, Any]]:
        form = super().form()
        form["kafka"] |= {"session_timeout_seconds": 45.0, "max_poll_records": 2000}
        form["ingest"] = {"cohort_keys": ["product"], "batch_max_seconds": 0.2}  # that the last, partial ones wait
        form["log"] = {"level": "info"}
        return form


class WithoutOwnProcess(TwoPartitions):
    def form(self) -> dict[str, dict[str, Any]]:
        return super().form() | {"signals": {"refusal": {"own_process": False}}}


@dataclass(frozen=True, slots=True)
class Passage:
    workers: int
    traces: int
    seconds: float
    cpu_seconds: Mapping[str, float]  # by who spent them

    @property
    def per_second(self) -> float:
        return self.traces / self.seconds

    @property
    def micros_a_trace(self) -> float:
        """CPU of all processes."""
        return sum(self.cpu_seconds.values()) / self.traces * 1e6


def main() -> int:
    parser = options("Two workers against one, with the CPU seconds of all processes.")
    parser.add_argument("--records", type=int, default=60_000, help="records of each run")
    parser.add_argument("--no-own-process", action="store_true", help="let each worker read refusals itself")
    arguments = parser.parse_args()
    form = WithoutOwnProcess if arguments.no_own_process else TwoPartitions
    records = list(traffic(NORMAL, count=arguments.records, seed=1, start=START, step=STEP))
    with servers(durable=True) as parts:
        if not isinstance(parts.kafka, RealKafka):
            print("two_workers: the embedded broker keeps 5 MB; this benchmark needs Apache Kafka", file=sys.stderr)
            return 1
        passages = [passage(parts, parts.kafka, records, form=form, workers=workers) for workers in (1, 2, 1, 2)]
    rows = [
        (
            one.workers,
            one.traces,
            one.per_second,
            *(spent / one.traces * 1e6 for spent in one.cpu_seconds.values()),
            sum(one.cpu_seconds.values()) / one.seconds,
        )
        for one in passages
    ]
    names = [f"{name}, us a trace" for name in passages[0].cpu_seconds]
    print(table(("workers", "traces", "traces/s", *names, "cores in use"), rows))
    singles, pairs = ([one for one in passages if one.workers == count] for count in (1, 2))
    gain = sum(one.per_second for one in pairs) / sum(one.per_second for one in singles)
    bound = (os.cpu_count() or 1) * 1e6 / (sum(one.micros_a_trace for one in pairs) / len(pairs))
    print(f"\ntwo workers read {gain:.2f} times as much as one; all cores in full allow {bound:,.0f} traces/s here")
    print(machine())
    told = [asdict(one) | {"per_second": one.per_second} for one in passages]
    write_json(arguments.json, {"passages": told, "gain": gain, "bound": bound, "machine": machine()})
    return 0


def passage(
    parts: Servers, kafka: RealKafka, records: Sequence[bytes], *, form: type[TwoPartitions], workers: int
) -> Passage:
    with parts.database() as url, psycopg.connect(url, autocommit=True) as connection:
        site = form(kafka, url, partitions=2, baseline_traces=0)
        with started(site, workers) as programs:
            for program in programs:
                os.kill(program.pid, signal.SIGSTOP)
            parts.produce(site.traces, records)
            for program in programs:
                os.kill(program.pid, signal.SIGCONT)
            pids = [program.pid for program in programs]
            first = snapshot(connection, kafka, pids, at_least=1)
            last = snapshot(connection, kafka, pids, records=len(records))
    spent = {name: seconds - first.cpu_seconds[name] for name, seconds in last.cpu_seconds.items()}
    return Passage(workers, last.traces - first.traces, last.at - first.at, spent)


@contextmanager
def started(site: Site, workers: int) -> Iterator[list[Program]]:
    """Start *workers* and yield them once their group has shared out the partitions."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(workers)]
        programs = [stack.enter_context(Program(site, folder)) for folder in folders]
        begun, since = -1, time.monotonic()
        deadline = since + WAIT_SECONDS
        while begun < workers or time.monotonic() - since < SETTLE_SECONDS:
            told = [program.log().count("partition_started") for program in programs]
            if sum(told) != begun or not all(told):
                begun, since = sum(told), time.monotonic()
            if time.monotonic() > deadline:
                raise Unavailable(f"the group did not settle: {told}; {programs[0].log()[-2000:]}")
            time.sleep(POLL_SECONDS)
        yield programs


@dataclass(frozen=True, slots=True)
class Snapshot:
    at: float
    traces: int
    cpu_seconds: Mapping[str, float]


def snapshot(
    connection: psycopg.Connection[Any],
    kafka: RealKafka,
    pids: Sequence[int],
    *,
    at_least: int = 0,
    records: int | None = None,
) -> Snapshot:
    """Wait until each partition has *at_least* a record stored, and all have *records*; return what was spent."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        rows = connection.execute("select next_offset from consumer_offset where topic like 'traces-%'").fetchall()
        offsets = [int(row[0]) for row in rows]
        if len(offsets) == 2 and min(offsets) >= at_least and (records is None or sum(offsets) >= records):
            break
        if time.monotonic() > deadline:
            raise Unavailable(f"the records were not read: {offsets}")
        time.sleep(POLL_SECONDS)
    backend = connection.info.backend_pid
    postmaster = int(stat_of(backend)[1])
    readers = [reader for pid in pids for reader in children_of(pid)]
    spent = {
        "workers": sum(map(_cpu_seconds, [*pids, *readers])),
        "PostgreSQL": sum(map(_cpu_seconds, [*children_of(postmaster), postmaster])),
        "broker": _cpu_seconds(kafka.pid or 0),
    }
    at = time.perf_counter()
    (traces,) = connection.execute("select count(*) from stored_trace").fetchone() or (0,)
    return Snapshot(at, int(traces), spent)


def _cpu_seconds(pid: int) -> float:
    """Return what a process has spent, with those of its children that have ended."""
    try:
        return sum(map(int, stat_of(pid)[11:15])) / TICKS
    except OSError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
