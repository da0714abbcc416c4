"""The real parts a benchmark runs on: a broker, a PostgreSQL server, and the daemon between them."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from kafka import KafkaProducer
from psycopg import sql

from monitor.app.wiring import Daemon
from monitor.demo.broker import EmbeddedBroker
from monitor.demo.postgres import EmbeddedPostgres
from monitor.errors import Unavailable
from monitor.postgres.migrate import upgrade
from monitor.settings.root import Settings
from tests.real_kafka import EmbeddedKafka, Kafka, RealKafka, fetch_libraries

TEMPLATE = "migrated"
POLL_SECONDS = 0.02
LEAVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Topics:
    """One daemon's own topics and consumer group."""

    name: str

    @property
    def traces(self) -> str:
        return f"{self.name}.traces"

    def settings(self, kafka: Kafka) -> dict[str, Any]:
        return {
            "bootstrap_servers": kafka.bootstrap_servers,
            "api_version": kafka.api_version,
            "trace_topics": (self.traces,),
            "preference_topic": f"{self.name}.preferences",
            "dead_letter_topic": f"{self.name}.dead-letters",
            "group_id": self.name,
        }


@dataclass(frozen=True, slots=True)
class Servers:
    kafka: Kafka
    postgres: EmbeddedPostgres

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of an empty, migrated database; it is dropped on leaving."""
        name = f"benchmark_{uuid4().hex}"
        database, template = sql.Identifier(name), sql.Identifier(TEMPLATE)
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {} template {}").format(database, template))
        try:
            yield self.postgres.database_url(name)
        finally:
            with psycopg.connect(self.postgres.url, autocommit=True) as connection:
                connection.execute(sql.SQL("drop database {} with (force)").format(database))

    def topics(self) -> Topics:
        """Create topics of one partition each, so that traces keep their order."""
        topics = Topics(f"benchmark-{uuid4().hex}")
        settings = topics.settings(self.kafka)
        for name in (topics.traces, settings["preference_topic"], settings["dead_letter_topic"]):
            self.kafka.create_topic(name, 1)
        return topics

    def produce(self, topic: str, records: Iterable[bytes]) -> None:
        """Write *records* in order and return when all of them are durable."""
        producer = KafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers, api_version=self.kafka.api_version, linger_ms=20
        )
        try:
            sent = [producer.send(topic, record) for record in records]
            producer.flush(timeout=120)
        finally:
            producer.close(timeout=10)
        for future in sent:
            future.get(timeout=0)


@contextmanager
def servers(*, durable: bool) -> Iterator[Servers]:
    """Start a broker and a PostgreSQL server; without *durable* the latter does not wait for the disk."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
            if not durable:
                connection.execute("alter system set fsync = off")
                connection.execute("select pg_reload_conf()")
        upgrade(postgres.database_url(TEMPLATE))
        yield Servers(_broker(stack, folder), postgres)


def _broker(stack: ExitStack, folder: Path) -> Kafka:
    """Start Apache Kafka, or say loudly that the embedded broker stands in for it."""
    try:
        (folder / "kafka").mkdir()
        kafka = RealKafka(folder / "kafka", fetch_libraries())
        stack.callback(kafka.stop)
        kafka.start()
    except Unavailable as reason:
        embedded = EmbeddedKafka(stack.enter_context(EmbeddedBroker()))
        print(f"*** NOT A REAL KAFKA: {embedded.version} stands in: {reason}", file=sys.stderr)
        return embedded
    print(f"broker: {kafka.version} (KRaft), real", file=sys.stderr)
    return kafka


@contextmanager
def running(settings: Settings) -> Iterator[Daemon]:
    """Run the daemon in threads of this process; leaving drains it and raises what it failed of."""
    daemon, stop = Daemon(settings), threading.Event()
    failures: list[BaseException] = []

    def body() -> None:
        try:
            daemon.run(stop)
        except BaseException as failure:  # noqa: BLE001 - raised again below, in the thread that waits
            failures.append(failure)

    thread = threading.Thread(target=body, name="daemon", daemon=True)
    thread.start()
    try:
        yield daemon
    finally:
        stop.set()
        thread.join(LEAVE_SECONDS)
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise Unavailable(f"the daemon did not leave within {LEAVE_SECONDS:.0f} s")


def wait_until(reached: Callable[[], bool], what: str, *, daemon: Daemon, seconds: float) -> None:
    """Return once *reached*; raise `Unavailable` where *daemon* fails or the time is over first."""
    deadline = time.monotonic() + seconds
    while not reached():
        if daemon.health.failure is not None:
            raise Unavailable(f"the daemon failed before {what}: {daemon.health.failure.exception!r}")
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} did not come within {seconds:.0f} s; parts: {daemon.health.ready()[1]}")
        time.sleep(POLL_SECONDS)
