"""The whole program against real parts: in this process, or as a process that can be killed."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from kafka import KafkaProducer

from monitor.app.wiring import Daemon
from monitor.settings.root import Settings
from tests.real_kafka import Kafka

WAIT_SECONDS = 120.0
_kept: dict[str, psycopg.Connection[Any]] = {}
LARGE = {"max.message.bytes": str(32 * 1024 * 1024)}


@dataclass(frozen=True)
class Site:
    """Topics, a group and a database of one test's own, and how the program is told of them."""

    kafka: Kafka
    postgres_url: str
    partitions: int = 1
    baseline_traces: int = 600
    batch_max_traces: int = 100
    reward_model: Path | None = None  # folder of the one member that scores
    name: str = field(default_factory=lambda: uuid4().hex[:8])

    def __post_init__(self) -> None:
        large = LARGE if self.kafka.is_real else None
        self.kafka.create_topic(self.traces, self.partitions, large)
        self.kafka.create_topic(self.dead_letters, 1, large)
        self.kafka.create_topic(self.preferences, 1)

    @property
    def traces(self) -> str:
        return f"traces-{self.name}"

    @property
    def preferences(self) -> str:
        return f"preferences-{self.name}"

    @property
    def labels(self) -> str:
        """A topic that nobody makes beforehand."""
        return f"labels-{self.name}"

    @property
    def dead_letters(self) -> str:
        return f"dead-{self.name}"

    def form(self) -> dict[str, dict[str, Any]]:
        return {
            "kafka": {
                "bootstrap_servers": self.kafka.bootstrap_servers,
                "trace_topics": [self.traces],
                "preference_topic": self.preferences,
                "label_topic": self.labels,
                "dead_letter_topic": self.dead_letters,
                "group_id": self.name,
                "api_version": self.kafka.api_version,
                "session_timeout_seconds": 6.0,  # the least a broker takes by default
                "max_poll_records": 500,
            },
            "postgres": {"url": self.postgres_url},
            "ingest": {
                "cohort_keys": ["dataset"],
                "batch_max_traces": self.batch_max_traces,
                "batch_max_seconds": 0.2,
            },
            "rewards": self._rewards(),
            "retrain": {"folder": str(self.reward_model.parent / "retrain")} if self.reward_model else {},
            "drift": {"average_run_length": 10_000.0, "baseline_traces": self.baseline_traces, "fold_seconds": 0.1},
            "web": {"port": 0},
            "log": {"level": "warning"},
        }

    def _rewards(self) -> dict[str, Any]:
        if self.reward_model is None:
            return {"backend": "none"}
        return {"backend": "huggingface", "models": [str(self.reward_model)], "device": "cpu", "max_tokens": 128}

    def settings(self) -> Settings:
        return Settings(**self.form())  # type: ignore[arg-type]

    def send(self, values: Sequence[bytes | None], *, topic: str | None = None, partition: int = 0) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers,
            api_version=self.kafka.api_version,
            max_request_size=32 * 1024 * 1024,
        )
        for number, value in enumerate(values):
            headers = [("format", b"native"), ("number", b"%d" % number)]
            producer.send(topic or self.traces, key=b"key", value=value, partition=partition, headers=headers)
        producer.flush()
        producer.close()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask on a kept connection: tests ask dozens of times a second, and a server begins a process for each."""
        try:
            return _connected(self.postgres_url).execute(statement.encode()).fetchall()
        except psycopg.OperationalError:  # the server was started anew
            _leave()
            return _connected(self.postgres_url).execute(statement.encode()).fetchall()

    def count(self, table: str) -> int:
        (row,) = self.query(f"select count(*) from {table}")  # noqa: S608
        return int(row[0])

    def folded(self) -> int:
        """Return up to which trace the log is folded, 0 before the baseline."""
        rows = self.query("select next_place from fold_position join baseline using (baseline_id) where active")
        return int(rows[0][0]) if rows else 0


def _connected(postgres_url: str) -> psycopg.Connection[Any]:
    """Return the one connection that is kept, to the database that was asked last."""
    if postgres_url not in _kept:
        _leave()
        _kept[postgres_url] = psycopg.connect(postgres_url, autocommit=True, prepare_threshold=None)
    return _kept[postgres_url]


@atexit.register
def _leave() -> None:
    while _kept:
        _kept.popitem()[1].close()


@contextmanager
def running(settings: Settings) -> Iterator[Daemon]:
    """Run a daemon in a thread; what it raises comes out on leaving."""
    daemon, stop = Daemon(settings), threading.Event()
    failures: list[BaseException] = []

    def body() -> None:
        try:
            daemon.run(stop)
        except BaseException as failure:  # noqa: BLE001 - raised again in the test's thread
            failures.append(failure)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield daemon
    finally:
        stop.set()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


class Program:
    """`rlhf-monitor run` as a process of its own."""

    def __init__(self, site: Site, folder: Path) -> None:
        import yaml

        config = folder / "monitor.yaml"
        config.write_text(yaml.safe_dump(site.form()))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        self._environment = kept | {"MONITOR_CONFIG": str(config)}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with (self._folder / "program.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "monitor", "run"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self._environment,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self._folder / "program.log").read_text(errors="replace")

    def kill(self) -> None:
        """End the process without a chance to tidy up; harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, seconds: float) -> int:
        """Send SIGTERM and return the exit code; the process has *seconds* to leave."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Return the exit code of a process that ends by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def set(self, part: str, **changes: object) -> None:
        """Change the settings for the next start."""
        import yaml

        config = self._folder / "monitor.yaml"
        form = yaml.safe_load(config.read_text())
        form[part] |= changes
        config.write_text(yaml.safe_dump(form))

    def freeze(self) -> None:
        """Stop the process where it stands: it lives, and its connections with it, but it does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def check(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self.log()


def wait_for(condition: Callable[[], bool], what: str, *, pause_seconds: float = 0.05) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(pause_seconds)
