"""What every test may ask for: the real Kafka, PostgreSQL and data sets, and the command line."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from monitor.demo.broker import EmbeddedBroker
from monitor.demo.postgres import EmbeddedPostgres
from monitor.errors import Unavailable
from tests.commands import Done, Run
from tests.midnight import wait_seconds
from tests.real_kafka import ROOT, EmbeddedKafka, Kafka, RealKafka, fetch_libraries, in_ci
from tests.real_kubernetes import ControlPlane, build_control_plane
from tests.real_oidc import build_provider

SHARED_DATA = ROOT.parent / "shared" / "data"
TEMPLATE = "migrated"

# Folders of tests, and then all others: at first what no clock matters to, while other work of CI goes on.
ORDER = ("statistics", "faults", "integration", "browser")

_reports = pytest.StashKey[dict[str, str]]()


def reports_of(config: pytest.Config) -> dict[str, str]:
    """Return what is said at the end of the run, by the real part that it is about."""
    return config.stash.setdefault(_reports, {})


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One broker a session: Apache Kafka, or the demo's embedded one where that cannot be had (never in CI)."""
    reports = reports_of(request.config)
    folder = tmp_path_factory.mktemp("kafka")
    try:
        server = RealKafka(folder, fetch_libraries())
    except Unavailable as reason:
        if in_ci():
            reports["kafka"] = f"NONE, and CI wants the real one: {reason}"
            raise
        reports["kafka"] = f"NOT REAL, {EmbeddedKafka.version} stands in: {reason}"
        with EmbeddedBroker() as broker:
            yield EmbeddedKafka(broker)
        return
    try:
        server.start()
        reports["kafka"] = f"{server.version} (KRaft), real"
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def oidc() -> None:
    """A provider of log-ins can be run; without Node its tests are skipped, never in CI."""
    try:
        build_provider()
    except Unavailable as reason:
        if in_ci():
            raise
        pytest.skip(f"OpenID Connect: {reason}")


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One etcd, API server and Job controller a session; without them its tests are skipped, never in CI."""
    reports = reports_of(request.config)
    try:
        program = build_control_plane()
    except Unavailable as reason:
        reports["kubernetes"] = f"NONE: {reason}"
        if in_ci():
            raise
        pytest.skip(f"kubernetes: {reports['kubernetes']}")
    folder = tmp_path_factory.mktemp("kubernetes")
    plane = ControlPlane(folder, program)
    try:
        plane.start()
        reports["kubernetes"] = f"{plane.version} (API server and Job controller), real"
        yield plane
    finally:
        plane.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _real_parts(request: pytest.FixtureRequest) -> None:
    """Skip a test that needs the real Kafka where an embedded broker stands in for it."""
    if request.node.get_closest_marker("kafka") is None:
        return
    server: Kafka = request.getfixturevalue("kafka")
    if not server.is_real:
        pytest.skip(f"kafka: {reports_of(request.config)['kafka']}")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server a session, without databases of ours; do not stop it, other tests use it too."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("alter system set fsync = off")  # a test's database need not survive the machine
            # Its transactions hold up the placing of entries, as any other's do: for a test that looks once, too long.
            connection.execute("alter system set autovacuum = off")
            connection.execute("select pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def _migrated_template(postgres: EmbeddedPostgres) -> str:
    from monitor.postgres.migrate import upgrade

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    upgrade(postgres.database_url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def postgres_url(postgres: EmbeddedPostgres, _migrated_template: str) -> Iterator[str]:
    """URL of an empty, migrated database of this test alone; dropped after it, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    database, template = sql.Identifier(name), sql.Identifier(_migrated_template)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template {}").format(database, template))
        yield postgres.database_url(name)
        connection.execute(sql.SQL("drop database {} with (force)").format(database))


@pytest.fixture
def one_day() -> None:
    """The test sees one day of UTC: close to midnight it begins after it."""
    time.sleep(wait_seconds(datetime.now(UTC)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets beside the checkout."""
    if not SHARED_DATA.is_dir():
        reason = f"no real data sets at {SHARED_DATA}"
        if in_ci():
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED_DATA


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Run `rlhf-monitor` with these words in an empty folder, with these settings in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monitor.telemetry.logs.configure_logging", lambda **_: None)  # pytest's own stays
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for name in [name for name in os.environ if name.startswith("MONITOR_")]:
        monkeypatch.delenv(name)

    from monitor.cli import main

    def run(*words: object, **settings: str) -> Done:
        for name, value in settings.items():
            monkeypatch.setenv(f"MONITOR_{name}", value)
        monkeypatch.setattr(sys, "argv", ["rlhf-monitor", *(str(word) for word in words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def pytest_sessionstart() -> None:
    """Look for no garbage among what is imported: it stays, and looking took a tenth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # libraries complain at the end of what is left


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the workers of a parallel run end with short files, so that they end at about the same time."""
    if hasattr(config, "workerinput"):
        rank = {folder: number for number, folder in enumerate(ORDER)}
        items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["reports"] = reports_of(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of a parallel run says of its parts; what is missing is not covered by another's."""
    reports = reports_of(node.config)
    for part, report in getattr(node, "workeroutput", {}).get("reports", {}).items():
        if report not in reports.setdefault(part, report):
            reports[part] += f"; {report}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = {"kafka": "not used by the tests that ran"} | reports_of(config)
    for part, report in reports.items():
        terminalreporter.write_sep("-", f"{part}: {report}")
