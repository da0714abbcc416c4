"""From a real daemon through a real Prometheus and Alertmanager to whoever is on call."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.app.doctor.http import check_prometheus
from monitor.app.wiring import Daemon
from monitor.demo.broker import EmbeddedBroker
from monitor.demo.postgres import EmbeddedPostgres
from monitor.domain.alarm import Alarm
from monitor.domain.checkup import Outcome
from monitor.domain.incident import told_by
from monitor.domain.order import Actor, AlarmOrder, Role
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.engine import create_engine_for
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.migrate import upgrade
from monitor.settings.root import Settings
from tests.other_machine import OtherMachine
from tests.ports import free_port
from tests.program import Site, running, wait_for
from tests.real_kafka import EmbeddedKafka, Kafka
from tests.real_prometheus import Alerting, alerting, serving
from tests.traces import drifting, line
from tests.watched import watch

pytestmark = [pytest.mark.postgres, pytest.mark.kafka, pytest.mark.prometheus]
FRESH_SECONDS = 5.0  # instead of thirty; the rules are cut likewise
TRACES = drifting(1500, change=900)


def healthy(_: bytes) -> str:
    """What another deployment exports whom nothing ails."""
    return (
        "monitor_leader 1\n"
        'monitor_dependency_up{dependency="postgres"} 1\n'
        'monitor_dependency_up{dependency="kafka"} 1\n'
        'monitor_kafka_lag{topic="traces",partition="0"} 3\n'
        'monitor_incidents_open{severity="alert"} 0\n'
        f'monitor_traces_total{{outcome="counted"}} {int(time.monotonic() * 100)}\n'
    )


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that this test may stop."""
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        upgrade(server.url)
        yield server


@pytest.fixture
def site(kafka: Kafka, own_postgres: EmbeddedPostgres) -> Site:
    return Site(kafka, own_postgres.url)


@pytest.fixture
def settings(site: Site) -> Settings:
    web = {"port": free_port(), "public_url": "https://monitor.example/"}
    form = site.form() | {"web": web, "drift": {"baseline_traces": 0, "fold_seconds": 0.1}}
    return Settings(**form)  # type: ignore[arg-type]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what nobody confirms be withdrawn after seconds."""
    for name in ("monitor.telemetry.metrics.FRESH_SECONDS", "monitor.app.wiring.FRESH_SECONDS"):
        monkeypatch.setattr(name, FRESH_SECONDS)
    monkeypatch.setattr("monitor.pipeline.worker.LAG_SECONDS", 0.5)
    monkeypatch.setattr("monitor.pipeline.worker.COMPARE_SECONDS", 0.5)


@contextmanager
def telling(daemon: Daemon, folder: Path) -> Iterator[Alerting]:
    """Set Prometheus and Alertmanager over a ready daemon, as production, and a healthy staging beside it."""
    wait_for(lambda: daemon.health.ready()[0], "a ready daemon")
    with serving(healthy) as staging, alerting(folder, {"prod": daemon.port, "staging": staging}) as told:
        wait_for(lambda: is_scraped(told), "the first scrapes")
        yield told


def fires(told: Alerting, alert: str) -> bool:
    return bool(told.query(f'ALERTS{{alertname="{alert}",alertstate="firing",namespace="prod"}}'))


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def is_scraped(told: Alerting) -> bool:
    try:
        return len(told.query('monitor_leader{namespace="prod"} == 1 and on () count(up == 1) == 2')) == 1
    except OSError:
        return False


@pytest.mark.usefixtures("fast")
def test_a_stopped_postgresql_is_told_as_critical_though_staging_is_well_and_resolved_when_it_is_back(
    site: Site, settings: Settings, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    dependency = {"alertname": "RlhfMonitorDependencyDown", "dependency": "postgres", "severity": "critical"}
    ingesting = {"alertname": "RlhfMonitorNotIngesting", "severity": "critical"}
    with running(settings) as daemon, telling(daemon, tmp_path) as told:
        receiver = told.receiver
        before = len(receiver.find("firing", namespace="prod"))
        assert [found.outcome for found in check_prometheus(told.url)] == [Outcome.OK] * 4, "rules, alerts, scrapes"
        own_postgres.stop()
        site.send([line(item) for item in TRACES])  # more than a worker holds in memory
        wait_for(lambda: bool(receiver.find("firing", **dependency)), "the alert of the dependency")
        wait_for(lambda: fires(told, "RlhfMonitorNotIngesting"), "the alert of the workers")
        wait_for(lambda: told.is_inhibited(**ingesting, namespace="prod"), "that it is told of no more")
        own_postgres.start()
        wait_for(lambda: bool(receiver.find("resolved", **dependency)), "the end of the dependency's alert")
        wait_for(lambda: not fires(told, "RlhfMonitorNotIngesting"), "the end of the workers' alert")
    assert before == 0
    notice = receiver.find("firing", **dependency)[0]
    assert notice.labels["namespace"] == "prod"
    assert len(receiver.pages(namespace="prod")) == 1, "whoever is on duty is called once, whatever follows from it"
    assert notice.annotations["runbook_url"] == "dashboards/runbooks/RlhfMonitorDependencyDown.md"
    assert receiver.find("firing", namespace="staging") == []


def shown(port: int) -> dict[str, float]:
    """Return what a daemon exports, by name, the dependency behind it."""
    return {
        f"{sample.name} {sample.labels.get('dependency', '')}".strip(): sample.value
        for family in text_string_to_metric_families(scrape(port))
        for sample in family.samples
    }


def wait_until_shown(daemon: Daemon, values: Mapping[str, float], names: Set[str] = frozenset()) -> None:
    wait_for(lambda: daemon.port != 0, "the web server")
    seen: dict[str, float] = {}

    def is_shown() -> bool:
        seen.clear()
        seen.update(shown(daemon.port))
        return seen.items() >= values.items() and seen.keys() >= names

    try:
        wait_for(is_shown, "what is to be shown")
    except AssertionError as missed:
        told = {name: seen.get(name) for name in (*values, *names)}
        raise AssertionError(f"{missed}: wanted {values} and {set(names)}, saw {told}") from None


KNOWN = {"monitor_leader": 1, "monitor_dependency_up postgres": 1, "monitor_dependency_up kafka": 1}
LEADERS_AND_WORKERS = {"monitor_kafka_lag", "monitor_alarms_open", "monitor_jobs"}  # the first once a partition is read


@pytest.mark.usefixtures("fast")
def test_a_leader_whose_database_lost_power_shows_nothing_of_what_it_knew_though_all_its_threads_hang(
    kafka: Kafka, own_postgres: EmbeddedPostgres
) -> None:
    machine = OtherMachine(own_postgres.folder / ".s.PGSQL.5432")
    with machine:
        site = Site(kafka, machine.url(own_postgres.url))
        site.send([line(TRACES[0])])
        with running(site.settings()) as daemon:
            wait_until_shown(daemon, KNOWN, LEADERS_AND_WORKERS)
            # a worker that has only joined asks the database where to begin, and hangs with the brokers waiting for it
            wait_for(lambda: 'outcome="counted"} 1.0' in scrape(daemon.port), "the first trace")
            machine.lose_power()
            wait_until_shown(daemon, KNOWN | {"monitor_leader": 0, "monitor_dependency_up postgres": 0})
            assert shown(daemon.port).keys() & LEADERS_AND_WORKERS == {"monitor_kafka_lag"}
            machine.restore_power()


@pytest.mark.usefixtures("fast")
def test_a_broker_that_is_gone_is_shown_and_its_lag_is_withdrawn(postgres_url: str) -> None:
    broker = EmbeddedBroker()
    with ExitStack() as at_hand:
        at_hand.enter_context(broker)
        with running(Site(EmbeddedKafka(broker), postgres_url).settings()) as daemon:
            wait_until_shown(daemon, KNOWN, LEADERS_AND_WORKERS)
            at_hand.close()
            wait_until_shown(daemon, KNOWN | {"monitor_dependency_up kafka": 0})
            assert shown(daemon.port).keys() & LEADERS_AND_WORKERS == {"monitor_alarms_open", "monitor_jobs"}


def leading_alarm(url: str) -> Alarm:
    """Return the alarm by which the one incident is told."""
    engine = create_engine_for(url)
    [leading] = told_by(PostgresAlarms(engine).open_alarms()).values()
    engine.dispose()
    return leading.alarm


@pytest.mark.usefixtures("fast")
def test_a_drift_of_many_streams_is_one_page_and_a_restart_tells_and_resolves_nothing(
    settings: Settings, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    watch(own_postgres.url, TRACES, baseline=600)
    engine = create_engine_for(own_postgres.url)
    incidents = PostgresIncidents(engine)
    [incident] = incidents.open_incidents()
    assert incident.facts.members > 3
    drift = {"alertname": "RlhfMonitorDriftAlarm", "namespace": "prod"}
    with ExitStack() as alerted:
        with running(settings) as daemon:
            told = alerted.enter_context(telling(daemon, tmp_path))
            wait_for(lambda: bool(told.receiver.find("firing", **drift)), "the page")
        with running(settings):
            wait_for(lambda: is_scraped(told), "the scrape of the leader that came after")
            time.sleep(2.0)  # some evaluations
            [page], resolved = told.receiver.find("firing", **drift), told.receiver.find("resolved", **drift)
            assert (page.labels["incident"], page.labels["kind"], resolved) == (str(incident.incident_id), "drift", [])
            says, leading = page.annotations, leading_alarm(own_postgres.url)
            assert (says["signal"], says["cohort"]) == (leading.stream.signal, leading.stream.cohort)
            assert (says["direction"], says["effect"][0]) == (
                leading.direction,
                "+" if leading.direction == "up" else "-",
            )
            assert says["onset"].startswith(f"{incident.facts.onset_timestamp:%Y-%m-%d %H:%M:%S}")
            assert says["link"] == f"https://monitor.example/incidents/{incident.incident_id}"
            assert says["runbook_url"] == "dashboards/runbooks/RlhfMonitorDriftAlarm.md"
            # Of a restart that takes long, other alerts tell rightly.
            assert len(told.receiver.pages(namespace="prod", alertname="RlhfMonitorDriftAlarm")) == 1
            incidents.order_incident(incident.incident_id, AlarmOrder.ACKNOWLEDGE, actor=Actor("eve", Role.OPERATOR))
            wait_for(lambda: bool(told.receiver.find("resolved", **drift)), "the end of what was acknowledged")
    engine.dispose()


def incidents(**severities: str) -> Callable[[bytes], str]:
    """Return what a well deployment exports with incident 7 in *severities*."""
    members = "".join(
        f'monitor_incident_members{{incident="7",kind="drift",severity="{severity}"}} {members}\n'
        for severity, members in severities.items()
    )
    return lambda body: healthy(body) + members


def test_a_page_hides_the_warning_of_its_own_incident_and_of_its_own_deployment_alone(tmp_path: Path) -> None:
    with (
        serving(incidents(alert="2", warning="1")) as prod,  # as for a moment, when another takes the lead
        serving(incidents(warning="3")) as staging,
        alerting(tmp_path, {"prod": prod, "staging": staging, "dead": free_port()}) as told,
    ):
        receiver, warning = told.receiver, {"alertname": "RlhfMonitorIncidentWarning", "incident": "7"}
        wait_for(lambda: bool(receiver.find("firing", namespace="prod", incident="7")), "the page")
        wait_for(lambda: bool(receiver.find("firing", namespace="staging", **warning)), "the other's warning")
        wait_for(lambda: bool(receiver.find("firing", namespace="dead", alertname="RlhfMonitorDown")), "the dead one")
        wait_for(lambda: fires(told, "RlhfMonitorIncidentWarning"), "the warning in Prometheus")
        time.sleep(2.0)
        assert told.is_inhibited(namespace="prod", **warning)
    assert receiver.find("firing", namespace="prod", **warning) == []
    assert {notice.receiver for notice in receiver.find("firing", **warning)} == {"working-day"}
    assert [len(receiver.pages(namespace=name)) for name in ("prod", "staging", "dead")] == [1, 0, 1]
