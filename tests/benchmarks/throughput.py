"""Traces a second through the worker, beside the limits that the broker's client and COPY set.

    python -m tests.benchmarks.throughput [--records N] [--scored-records N] [--only-workers] [--json FILE]

The demo's traffic is written to one partition of Apache Kafka, then read by the daemon: the
worker alone (no baseline, so nothing is folded), the same with refusals told by patterns in place of
the learned model, the worker with the controller folding beside
it in the same process, and the worker with an ensemble of the demo's size. The rate counts from
the first checkpoint to the last: neither joining the group nor an empty topic is measured. A first
passage is not counted: a new PostgreSQL still makes the files of its write-ahead log then. In
the same run a bare kafka-python consumer reads the same topic, COPY writes the rows the worker
stored into another database's tables with all their indexes, and `rlhf-monitor backtest` reads
the same records from a file, its start included. The same calls are also read as OpenTelemetry's
collector writes them, a request's span and the model call's in one record with those of others,
and as LiteLLM does, a payload of 8 kB a call.

A stage's share is its part of the time between those two checkpoints. Polling goes on beside
the other stages, in a thread of its own, and mostly waits. Decoding and observing go on beside the
checkpoint of the batch before, so the shares may add up to more than the whole.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import torch
from kafka import KafkaConsumer
from prometheus_client.parser import text_string_to_metric_families

from monitor.app.interpreter import tune_interpreter
from monitor.app.wiring import Daemon
from monitor.demo.models import build_tiny_base
from monitor.demo.traffic import NORMAL, traffic
from monitor.ingest.kafka import FETCH_OPTIONS
from monitor.ingest.limits import limits_of
from monitor.settings.drift import DriftSettings
from monitor.settings.ingest import IngestSettings
from monitor.settings.kafka import KafkaSettings
from monitor.settings.refusal import RefusalSettings
from monitor.settings.retrain import RetrainSettings
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings
from monitor.settings.signals import SignalSettings
from monitor.settings.store import PostgresSettings
from monitor.settings.web import WebSettings
from monitor.telemetry.logs import configure_logging
from monitor.telemetry.metrics import Stage, TraceOutcome
from monitor.telemetry.series import STAGE_SECONDS, TRACES
from tests.benchmarks.harness import Servers, Topics, running, servers, wait_until
from tests.benchmarks.report import machine, options, table, write_json
from tests.benchmarks.wire import litellm_records, otlp_records

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(seconds=2)
COHORT_KEY = "product"
BASELINE_TRACES = 2000
BATCH = 1000  # traces a checkpoint holds, so that whole batches make the last one too
CALLS = 20  # model calls in a record of OpenTelemetry's
MEMBERS = 3
MEMBER_TOKENS = 256  # as in the demo
# In the order their references want.
TABLES = (
    "log_entry",
    "checkpoint",
    "log_subject",
    "observation_batch",
    "stored_trace",
    "trace",
    "score",
    "repeat_key",
)
SECONDS = 600.0
BYTES_A_READ = 1 << 16
POLL = Stage.POLL.value


@dataclass(frozen=True, slots=True)
class Passage:
    """One way through for the same traffic."""

    name: str
    traces: int  # or records, where nothing is decoded
    seconds: float
    cpu_seconds: float | None = None  # of this process, meanwhile
    stages: Mapping[str, float] | None = None  # seconds

    @property
    def per_second(self) -> float:
        return self.traces / self.seconds


def main() -> int:
    parser = options("Traces a second through the worker, beside its limits.")
    parser.add_argument("--records", type=int, default=60_000, help="records read without rewards")
    parser.add_argument("--scored-records", type=int, default=6_000, help="records read with the ensemble")
    parser.add_argument("--only-workers", action="store_true", help="leave out controller, backtest and ensemble")
    arguments = parser.parse_args()
    configure_logging(level="error", style="console")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a socket that closes while it is read is an error there
    tune_interpreter()
    records = list(traffic(NORMAL, count=_whole(arguments.records), seed=1, start=START, step=STEP))
    scored = records[: _whole(arguments.scored_records)]
    with servers(durable=True) as parts, tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        if not parts.kafka.is_real:
            print("throughput: the embedded broker keeps 5 MB; this benchmark needs Apache Kafka", file=sys.stderr)
            return 1
        passages = [*measure(parts, records), *formats(parts, records)]
        if not arguments.only_workers:
            passages += beside(parts, records, scored=scored, folder=Path(folder))
        broker = parts.kafka.version
    show(passages, records, broker)
    rows = [asdict(passage) | {"per_second": passage.per_second} for passage in passages]
    write_json(arguments.json, {"passages": rows, "broker": broker, "machine": machine()})
    return 0


def measure(parts: Servers, records: Sequence[bytes]) -> Iterator[Passage]:
    """Read native records: bare, by the worker, and what it stored by COPY."""
    topic = parts.topics().traces
    parts.produce(topic, records)
    with parts.database() as url:
        work(parts, url, records, name="warming up")
    yield consume(parts, topic, len(records))
    with parts.database() as url:
        yield work(parts, url, records, name="worker")
        yield copy(parts, url)
    with parts.database() as url:
        by_patterns = SignalSettings(refusal=RefusalSettings(model="patterns"))
        yield work(parts, url, records, name="worker, refusals by patterns", signals=by_patterns)


def formats(parts: Servers, records: Sequence[bytes]) -> Iterator[Passage]:
    """Read the same calls in other formats."""
    limits, now = limits_of(IngestSettings()), datetime.now(UTC)
    payloads = list(litellm_records(records, limits, now=now))
    topic = parts.topics().traces
    parts.produce(topic, payloads)
    yield consume(parts, topic, len(payloads), name="bare consumer, LiteLLM")
    with parts.database() as url:
        yield work(parts, url, payloads, name="worker, LiteLLM")
    for name, as_json in (("OTLP protobuf", False), ("OTLP JSON", True)):
        wired = list(otlp_records(records, limits, calls=CALLS, as_json=as_json, now=now))
        topic = parts.topics().traces
        parts.produce(topic, wired)
        yield consume(parts, topic, len(wired), name=f"bare consumer, {name}, records of {CALLS} calls")
        with parts.database() as url:
            yield work(parts, url, wired, name=f"worker, {name}")


def beside(parts: Servers, records: Sequence[bytes], *, scored: Sequence[bytes], folder: Path) -> Iterator[Passage]:
    """Read native records with what else a daemon does."""
    with parts.database() as url:
        yield work(parts, url, records, name="worker and controller", baseline=BASELINE_TRACES)
    file = folder / "traces.jsonl"
    file.write_bytes(b"".join(record + b"\n" for record in records))
    yield replay(file)
    models = ensemble(folder, scored)
    with parts.database() as url:
        name = f"worker with {MEMBERS} reward models"
        yield work(parts, url, scored, name=name, rewards=rewards(models), folder=folder)


def consume(parts: Servers, topic: str, records: int, *, name: str = "bare consumer") -> Passage:
    """Read the topic with a bare consumer that fetches as the worker does."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=parts.kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        max_poll_records=KafkaSettings().max_poll_records,
        metrics_enabled=False,
        **FETCH_OPTIONS,
    )
    try:
        left = records - sum(map(len, consumer.poll(timeout_ms=10_000).values()))  # connecting is not reading
        read, started, cpu = left, time.perf_counter(), time.process_time()
        while left > 0:
            left -= sum(map(len, consumer.poll(timeout_ms=1000).values()))
        return Passage(name, read, time.perf_counter() - started, time.process_time() - cpu)
    finally:
        consumer.close()


def work(
    parts: Servers,
    url: str,
    records: Sequence[bytes],
    *,
    name: str,
    baseline: int = 0,
    rewards: RewardsSettings | None = None,
    signals: SignalSettings | None = None,
    folder: Path = Path("var"),
) -> Passage:
    """Let a daemon of its own read *records* to the end."""
    topics = parts.topics()
    parts.produce(topics.traces, records)
    settings = settings_of(parts, topics, url, baseline=baseline, rewards=rewards, signals=signals, folder=folder)
    with psycopg.connect(url, autocommit=True) as connection, running(settings) as daemon:

        def reached(offset: int) -> Snapshot:
            wait_until(partial(_has_come_to, connection, offset), name, daemon=daemon, seconds=SECONDS)
            return Snapshot.of(daemon)

        first, last = reached(1), reached(len(records))
    return Passage(
        name,
        last.traces - first.traces,
        last.wall - first.wall,
        last.cpu - first.cpu,
        {stage: seconds - first.stages.get(stage, 0.0) for stage, seconds in last.stages.items()},
    )


def settings_of(
    parts: Servers,
    topics: Topics,
    url: str,
    *,
    baseline: int = 0,
    rewards: RewardsSettings | None = None,
    signals: SignalSettings | None = None,
    folder: Path = Path("var"),
) -> Settings:
    return Settings(
        kafka=KafkaSettings(**topics.settings(parts.kafka)),
        postgres=PostgresSettings(url=url),
        ingest=IngestSettings(cohort_keys=(COHORT_KEY,), batch_max_traces=BATCH),
        drift=DriftSettings(baseline_traces=baseline),
        rewards=rewards or RewardsSettings(),
        signals=signals or SignalSettings(),
        retrain=RetrainSettings(folder=folder / "retrain"),
        web=WebSettings(port=0),
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a daemon has come, and what it has spent; all but `traces` in seconds."""

    wall: float
    cpu: float  # of this process
    traces: int
    stages: Mapping[str, float]

    @classmethod
    def of(cls, daemon: Daemon) -> Snapshot:
        wall, cpu = time.perf_counter(), time.process_time()
        with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        stored = {TraceOutcome.COUNTED, TraceOutcome.REPEATED}
        return cls(
            wall,
            cpu,
            sum(int(s.value) for s in samples if s.name == TRACES.name and s.labels["outcome"] in stored),
            {s.labels["stage"]: s.value for s in samples if s.name == f"{STAGE_SECONDS.name}_sum"},
        )


def copy(parts: Servers, source: str) -> Passage:
    """COPY what the worker stored into the same tables of an empty database, in binary and in one transaction."""
    held = {}
    with psycopg.connect(source) as connection:
        for name in TABLES:
            with connection.cursor().copy(f"copy (table {name}) to stdout (format binary)") as rows:
                held[name] = b"".join(rows)
        traces = (connection.execute("select count(*) from trace").fetchone() or (0,))[0]
    with parts.database() as target, psycopg.connect(target) as connection:
        started, cpu = time.perf_counter(), time.process_time()
        for name, content in held.items():
            with connection.cursor().copy(f"copy {name} from stdin (format binary)") as sink:
                for place in range(0, len(content), BYTES_A_READ):
                    sink.write(content[place : place + BYTES_A_READ])
        connection.commit()
        return Passage("COPY of the same rows", traces, time.perf_counter() - started, time.process_time() - cpu)


def replay(file: Path) -> Passage:
    """Run `rlhf-monitor backtest` as a user would, in a process of its own."""
    out = file.with_suffix(".json")
    command = [sys.executable, "-m", "monitor", "backtest", str(file), "--baseline", str(BASELINE_TRACES)]
    started = time.perf_counter()
    subprocess.run([*command, "--cohort-key", COHORT_KEY, "--json", str(out)], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    return Passage("rlhf-monitor backtest", msgspec.json.decode(out.read_bytes())["traces"], seconds)


def ensemble(folder: Path, records: Sequence[bytes]) -> Path:
    """Build members of the demo's size, untrained: what they answer costs the same."""
    traces = (_loads(record) for record in records[:BATCH])
    texts = [text for trace in traces for text in (trace.get("response"),) if isinstance(text, str)]
    for number in range(MEMBERS):
        build_tiny_base(folder / "ensemble" / f"member-{number}", texts, seed=number)
    return folder / "ensemble"


def rewards(models: Path) -> RewardsSettings:
    return RewardsSettings(backend="huggingface", models=(models,), max_tokens=MEMBER_TOKENS, device="cpu")


def show(passages: Sequence[Passage], records: Sequence[bytes], broker: str) -> None:
    rows = [
        (
            passage.name,
            passage.traces,
            round(passage.seconds, 2),
            passage.per_second,
            None if not passage.cpu_seconds else passage.traces / passage.cpu_seconds,
        )
        for passage in passages
    ]
    print(table(("", "traces", "seconds", "traces/s", "traces/CPU s"), rows))
    stages = [stage.value for stage in Stage]
    staged = [passage for passage in passages if passage.stages is not None]
    print("\n" + table(("share of the time", *stages, "the rest"), [_shares(passage, stages) for passage in staged]))
    size = sum(map(len, records)) / len(records)
    print(f"\nrecords of {size:,.0f} bytes; CPU seconds are this process's, which runs client and daemon; {broker}")
    print(f"{machine()}; torch on {torch.get_num_threads()} threads")


def _shares(passage: Passage, stages: Sequence[str]) -> list[object]:
    spent = passage.stages or {}
    rest = passage.seconds - sum(seconds for stage, seconds in spent.items() if stage != POLL)
    return [passage.name, *(f"{value / passage.seconds:.0%}" for value in (*(spent.get(s, 0.0) for s in stages), rest))]


def _has_come_to(connection: psycopg.Connection[Any], offset: int) -> bool:
    row = connection.execute("select next_offset from consumer_offset where topic like '%.traces'").fetchone()
    return row is not None and int(row[0]) >= offset


def _loads(record: bytes) -> dict[str, Any]:
    """Read a record; the malformed ones among the traffic hold nothing."""
    try:
        loaded = msgspec.json.decode(record)
    except msgspec.DecodeError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _whole(records: int) -> int:
    return max(records // BATCH, 2) * BATCH


if __name__ == "__main__":
    sys.exit(main())
