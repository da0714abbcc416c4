"""Real model swaps through the real daemon: which alarms, after how many traces, dated where.

    python -m tests.benchmarks.real_swaps [--seeds N] [--json FILE]

Every row of alpaca_eval's drift_pairs.csv is played twice, with a new model name and without
one (a silent swap): model A's answers are the baseline, model B's follow, each in an order
drawn by the seed, a minute apart, one cohort a dataset. They go through a broker, the daemon
and PostgreSQL, and through `rlhf-monitor backtest`, whose alarms must be the daemon's. So does
each model against itself, one random half the baseline and the other half current. Further
orders of all of these run through the backtest alone.

Exit code 1, with the rows named, where the near-null swap or a model against itself raises an
alert, a swap that changes the length by more than a quarter raises none on `response_length`
within B, or backtest and daemon differ. Over the further orders of models against themselves
alerts are held to the stated rate instead: no more than one stream's average run length allows.
Warnings (a tenth of the evidence) are counted, not judged.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psycopg
from typer.testing import CliRunner

from monitor.cli.root import app
from monitor.domain.cohort import ALL
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.engine import create_engine_for
from monitor.settings.drift import DriftSettings
from monitor.settings.ingest import IngestSettings
from monitor.settings.kafka import KafkaSettings
from monitor.settings.root import Settings
from monitor.settings.store import PostgresSettings
from monitor.settings.web import WebSettings
from monitor.signals.length import RESPONSE_LENGTH
from monitor.telemetry.logs import configure_logging
from tests.benchmarks.harness import Servers, running, servers, wait_until
from tests.benchmarks.report import machine, options, table, write_json

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "alpaca_eval"
START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
COHORT_KEY = "dataset"
LARGE_CHANGE = 25.0  # percent of the length
NEAR_NULL = "near-null control"
SELF = "same model"
AT_ONCE = 3  # daemons that run side by side: most of their time they wait
FOLD_SECONDS = 240.0
AVERAGE_RUN_LENGTH = 10_000.0  # A
ALERT = "alert"
LEGEND = """
first alert: the first stream of response_length to alert; after: how many traces of B it took;
onset: where the change is dated, in traces from the swap; roll-up: the same for all cohorts
together; other orders: traces of B until the first alert, over the orders that ran through
backtest alone; also: other signals that alerted.
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """An alarm as the daemon and the backtest both state it."""

    trace_index: int
    signal: str
    cohort: str
    policy_model: str
    direction: str
    severity: str
    onset_index: int


@dataclass(frozen=True, slots=True)
class Case:
    """Traces to play: the first `baseline` of them are frozen."""

    kind: str
    model_a: str
    model_b: str
    renamed: bool
    length_change: float  # percent, of the mean response in characters
    baseline: int
    records: tuple[bytes, ...]

    @property
    def name(self) -> str:
        if self.kind == SELF:
            return f"{self.model_a} against itself"
        return f"{self.model_a} -> {self.model_b} ({'renamed' if self.renamed else 'silent'})"

    @property
    def must_be_silent(self) -> bool:
        return self.kind in {SELF, NEAR_NULL}

    @property
    def must_alarm(self) -> bool:
        return abs(self.length_change) > LARGE_CHANGE


@dataclass(frozen=True, slots=True)
class Played:
    """What one case came to: by the daemon, by the backtest, and by the backtest on further orders."""

    case: Case
    daemon: tuple[Found, ...]
    backtest: tuple[Found, ...]
    further: tuple[tuple[Found, ...], ...]


class Models:
    """The answers of alpaca_eval's models, by name."""

    def __init__(self) -> None:
        self._prompts = {row["i"]: row for row in _read(DATA / "prompts.jsonl.gz")}
        self.names = sorted(path.name.removesuffix(".jsonl.gz") for path in (DATA / "outputs").glob("*.jsonl.gz"))
        outputs = {name: _read(DATA / "outputs" / f"{name}.jsonl.gz") for name in self.names}
        # A blank answer is a dead letter, not a trace.
        self._answers = {name: [row for row in rows if row["output"].strip()] for name, rows in outputs.items()}

    def shuffled(self, name: str, seed: int) -> list[Row]:
        answers = list(self._answers[name])
        Random(f"{name}:{seed}").shuffle(answers)
        return answers

    def swap(self, pair: Row, *, renamed: bool, seed: int) -> Case:
        first, second = self.shuffled(pair["model_a"], seed), self.shuffled(pair["model_b"], seed)
        later = "assistant-2" if renamed else "assistant-1"
        return Case(
            kind=pair["kind"],
            model_a=pair["model_a"],
            model_b=pair["model_b"],
            renamed=renamed,
            length_change=float(pair["length_change_%"]),
            baseline=len(first),
            records=self._records([("assistant-1", first), (later, second)]),
        )

    def against_itself(self, name: str, *, seed: int) -> Case:
        answers = self.shuffled(name, seed)
        return Case(
            kind=SELF,
            model_a=name,
            model_b=name,
            renamed=False,
            length_change=0.0,
            baseline=len(answers) // 2,
            records=self._records([("assistant-1", answers)]),
        )

    def _records(self, parts: Sequence[tuple[str, list[Row]]]) -> tuple[bytes, ...]:
        rows = [(policy_model, row) for policy_model, answers in parts for row in answers]
        return tuple(self._record(index, policy_model, row) for index, (policy_model, row) in enumerate(rows))

    def _record(self, index: int, policy_model: str, row: Row) -> bytes:
        prompt = self._prompts[row["i"]]
        trace = {
            "trace_id": f"t-{index}",
            "timestamp": (START + index * STEP).isoformat(),
            "policy_model": policy_model,
            "cohort": {COHORT_KEY: prompt["dataset"]},
            "messages": [{"role": "user", "content": prompt["instruction"]}],
            "response": row["output"],
        }
        return json.dumps(trace).encode()


def main() -> int:
    parser = options("Real model swaps through broker, daemon and PostgreSQL.")
    parser.add_argument("--seeds", type=int, default=8, help="orders of each case; the first runs through the daemon")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"real_swaps: the data folder {DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    configure_logging(level="error", style="console")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a socket that closes while it is read is an error there
    started = time.monotonic()
    orders = [list(cases(Models(), seed)) for seed in range(arguments.seeds)]
    with servers(durable=False) as parts, ThreadPoolExecutor(AT_ONCE) as pool:
        watched = list(pool.map(lambda case: watch(parts, case), orders[0]))
        broker = parts.kafka.version
    replayed = [[backtest(case) for case in order] for order in orders]
    played = [
        Played(case, daemon, *outcome)
        for case, daemon, outcome in zip(
            orders[0], watched, ((first, tuple(rest)) for first, *rest in zip(*replayed, strict=True)), strict=True
        )
    ]
    failures = [f"{item.case.name}: {failure}" for item in played for failure in judge(item)]
    failures += judge_rate(played)
    show(played, failures, seconds=time.monotonic() - started, broker=broker)
    report = {"cases": [as_json(item) for item in played], "failures": failures, "broker": broker}
    write_json(arguments.json, report)
    return 1 if failures else 0


def cases(models: Models, seed: int) -> Iterator[Case]:
    with (DATA / "drift_pairs.csv").open(newline="", encoding="utf-8") as rows:
        for pair in csv.DictReader(rows):
            yield models.swap(pair, renamed=True, seed=seed)
            yield models.swap(pair, renamed=False, seed=seed)
    for name in models.names:
        yield models.against_itself(name, seed=seed)


def watch(parts: Servers, case: Case) -> tuple[Found, ...]:
    """Play *case* through the broker into a daemon of its own and return the alarms it stored."""
    with parts.database() as url:
        topics = parts.topics()
        parts.produce(topics.traces, case.records)
        settings = Settings(
            kafka=KafkaSettings(**topics.settings(parts.kafka)),
            postgres=PostgresSettings(url=url),
            ingest=IngestSettings(cohort_keys=(COHORT_KEY,), batch_max_traces=300, batch_max_seconds=0.2),
            drift=DriftSettings(average_run_length=AVERAGE_RUN_LENGTH, baseline_traces=case.baseline, fold_seconds=0.2),
            web=WebSettings(port=0),
        )
        with running(settings) as daemon, psycopg.connect(url, autocommit=True) as connection:
            wait_until(lambda: folded(connection) == len(case.records), case.name, daemon=daemon, seconds=FOLD_SECONDS)
        return stored_alarms(url)


def folded(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("select next_place from fold_position join baseline using (baseline_id)").fetchone()
    return 0 if row is None else int(row[0])


def stored_alarms(url: str) -> tuple[Found, ...]:
    engine = create_engine_for(url, pool_size=2)
    try:
        alarms = [stored.alarm for stored in PostgresAlarms(engine).alarms(state=None, limit=10_000)]
    finally:
        engine.dispose()
    return _ordered(
        Found(
            trace_index=alarm.place,
            signal=alarm.stream.signal,
            cohort=alarm.stream.cohort,
            policy_model=alarm.stream.policy_model,
            direction=str(alarm.direction),
            severity=alarm.severity.value,
            onset_index=alarm.onset_place,
        )
        for alarm in alarms
    )


def backtest(case: Case) -> tuple[Found, ...]:
    """Run `rlhf-monitor backtest` on the same traces."""
    with tempfile.TemporaryDirectory(prefix="backtest-") as folder:
        traces, out = Path(folder) / "traces.jsonl", Path(folder) / "out.json"
        traces.write_bytes(b"".join(record + b"\n" for record in case.records))
        command = ["backtest", str(traces), "--baseline", str(case.baseline), "--cohort-key", COHORT_KEY]
        CliRunner().invoke(app, [*command, "--warnings", "--json", str(out)], catch_exceptions=False)
        alarms = json.loads(out.read_text(encoding="utf-8"))["alarms"]
    return _ordered(Found(**{name: alarm[name] for name in Found.__slots__}) for alarm in alarms)


def judge(played: Played) -> Iterator[str]:
    """Say what is not as it must be."""
    case = played.case
    if played.daemon != played.backtest:
        differing = set(played.daemon) ^ set(played.backtest)
        yield f"backtest and daemon differ in {len(differing)} alarms, first {sorted(differing, key=str)[:1]}"
    if case.must_be_silent:
        orders = [played.daemon] if case.kind == SELF else orders_of(played)
        for alert in (alert for found in orders for alert in alerts_of(found)):
            yield f"alert on {_stream(alert)} at trace {alert.trace_index}"
    if case.must_alarm and (missed := sum(first_alert(case, found) is None for found in orders_of(played))):
        yield f"no alert on response_length in {missed} of {1 + len(played.further)} orders"


def judge_rate(played: Sequence[Played]) -> Iterator[str]:
    """Say whether further orders of models against themselves alert more often than A allows a single stream."""
    alerts, allowed = false_alerts(played)
    if alerts > allowed:
        yield f"models against themselves: {alerts} alerts in further orders; A allows one stream {allowed:.1f}"


def false_alerts(played: Sequence[Played]) -> tuple[int, float]:
    """Return the alerts in further orders of models against themselves, and what A allows one stream."""
    alone = [item for item in played if item.case.kind == SELF]
    watched = sum((len(item.case.records) - item.case.baseline) * len(item.further) for item in alone)
    return sum(len(alerts_of(found)) for item in alone for found in item.further), watched / AVERAGE_RUN_LENGTH


def orders_of(played: Played) -> tuple[tuple[Found, ...], ...]:
    return (played.daemon, *played.further)


def alerts_of(found: Sequence[Found]) -> list[Found]:
    return [alarm for alarm in found if alarm.severity == ALERT]


def first_alert(case: Case, found: Sequence[Found], *, cohort: str | None = None) -> Found | None:
    """Return the first alert within B on the length, in the direction it changed."""
    wanted = "up" if case.length_change > 0 else "down"
    for alarm in alerts_of(found):
        right = (
            alarm.signal == RESPONSE_LENGTH.name and alarm.direction == wanted and alarm.trace_index >= case.baseline
        )
        if right and cohort in {None, alarm.cohort}:
            return alarm
    return None


def show(played: Sequence[Played], failures: Sequence[str], *, seconds: float, broker: str) -> None:
    swaps = [item for item in played if item.case.kind != SELF]
    alone = [item for item in played if item.case.kind == SELF]
    headers = (
        "A -> B",
        "length",
        "name",
        "first alert",
        "after",
        "onset",
        "roll-up",
        "other orders",
        "also",
        "warnings",
    )
    print(table(headers, [_swap_row(item) for item in swaps]))
    print(LEGEND)
    columns = ("model against itself", "traces", "alerts", "warnings", "orders", "alerts in other orders")
    print(table(columns, [_self_row(item) for item in alone]))
    alerts, allowed = false_alerts(played)
    print(f"\nalerts in other orders of models against themselves: {alerts}; A allows one stream {allowed:.1f}")
    alarms = sum(len(item.daemon) for item in played)
    unequal = sum(len(set(item.daemon) ^ set(item.backtest)) for item in played)
    print(f"backtest and daemon: {alarms - unequal:,} alarms equal, {unequal:,} unequal, over {len(played)} cases")
    print(f"{broker}; {seconds:.0f} s on {machine()}")
    print("\n".join(["", "NOT AS IT MUST BE:", *failures]) if failures else "\neverything as it must be")


def _swap_row(item: Played) -> list[object]:
    case = item.case
    first, rollup = first_alert(case, item.daemon), first_alert(case, item.daemon, cohort=ALL)
    others = sorted({alarm.signal for alarm in alerts_of(item.daemon)} - {RESPONSE_LENGTH.name})
    return [
        f"{case.model_a} -> {case.model_b}",
        f"{case.length_change:+.1f}%",
        "new" if case.renamed else "same",
        "-" if first is None else f"{_stream(first)} {first.direction}",
        None if first is None else first.trace_index - case.baseline + 1,
        None if first is None else f"{first.onset_index - case.baseline:+d}",
        None if rollup is None else rollup.trace_index - case.baseline + 1,
        _spread(case, item.further),
        " ".join(others) or "-",
        len(item.daemon) - len(alerts_of(item.daemon)),
    ]


def _self_row(item: Played) -> list[object]:
    alerts = alerts_of(item.daemon)
    return [
        item.case.model_a,
        len(item.case.records),
        len(alerts),
        len(item.daemon) - len(alerts),
        len(item.further),
        sum(len(alerts_of(found)) for found in item.further),
    ]


def _spread(case: Case, orders: Sequence[Sequence[Found]]) -> str:
    """Return the traces of B until the first alert, at the median and at worst."""
    alerts = [first_alert(case, found) for found in orders]
    after = [alert.trace_index - case.baseline + 1 for alert in alerts if alert is not None]
    missed = len(orders) - len(after)
    spread = f"{median(after):.0f} (at most {max(after)})" if after else "none"
    return spread if not missed or not after else f"{spread}, {missed} none"


def as_json(item: Played) -> dict[str, Any]:
    case = item.case
    facts = {"kind": case.kind, "model_a": case.model_a, "model_b": case.model_b, "renamed": case.renamed}
    orders = [[_facts(alarm) for alarm in found] for found in item.further]
    return facts | {
        "length_change_percent": case.length_change,
        "baseline": case.baseline,
        "traces": len(case.records),
        "daemon": [_facts(alarm) for alarm in item.daemon],
        "equal_to_backtest": item.daemon == item.backtest,
        "other_orders": orders,
    }


def _facts(alarm: Found) -> dict[str, Any]:
    return {name: getattr(alarm, name) for name in Found.__slots__}


def _stream(alarm: Found) -> str:
    return alarm.cohort if alarm.signal == RESPONSE_LENGTH.name else f"{alarm.signal} {alarm.cohort}"


def _ordered(found: Iterator[Found]) -> tuple[Found, ...]:
    return tuple(sorted(found, key=lambda alarm: (alarm.trace_index, alarm.cohort != ALL, _key(alarm))))


def _key(alarm: Found) -> tuple[Any, ...]:
    return tuple(getattr(alarm, name) for name in Found.__slots__)


def _read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
