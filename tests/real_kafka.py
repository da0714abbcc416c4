"""Apache Kafka from Maven's artefacts: one KRaft node as a child process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from monitor.demo.broker import EmbeddedBroker
from monitor.errors import Unavailable
from tests.ports import free_ports
from tests.turns import one_at_a_time

ROOT = Path(__file__).parents[1]
POM = ROOT / "tests" / "kafka" / "pom.xml"
CACHE = ROOT / ".kafka"
START_SECONDS = 90.0
STOP_SECONDS = 30.0
FETCH_SECONDS = 600.0
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it lives for minutes: half the work

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
offsets.topic.num.partitions=4
"""


def fetch_libraries() -> Path:
    """Return the folder with Kafka's jars, downloading them once; raise `Unavailable` with the reason.

    The folder appears under its final name only when it is complete. Several may
    ask at once: one downloads, and the others wait.
    """
    if shutil.which("java") is None:
        raise Unavailable("java is not installed (Java 17 or newer is wanted)")
    CACHE.mkdir(exist_ok=True)
    libraries = CACHE / f"kafka-{_wanted_version()}"
    with one_at_a_time(CACHE / "lock"):
        if not libraries.is_dir():
            _download(libraries)
    return libraries


def _download(libraries: Path) -> None:
    if shutil.which("mvn") is None:
        raise Unavailable("mvn is not installed, and .kafka/ holds no earlier download")
    partial = CACHE / f"partial-{uuid4().hex}"
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), *goal],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Unavailable(f"mvn could not download Kafka: {(done.stdout + done.stderr).strip()[-500:]}")
        partial.rename(libraries)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mvn could not download Kafka within {FETCH_SECONDS:.0f} s") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@dataclass
class RealKafka:
    """One broker; its ports and its records survive `stop` and `start`."""

    folder: Path
    libraries: Path
    is_real = True
    api_version: None = None
    version: str = ""  # as the running broker states it
    _ports: list[int] = field(default_factory=lambda: free_ports(2))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """Of the running broker, for tests that send it signals of their own."""
        return None if self._process is None else self._process.pid

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Create *name* and return once clients can find it."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(config or {})}
            admin.create_topics({name: wanted}, wait_for_metadata=True)
        finally:
            admin.close()

    def start(self) -> None:
        """Start the broker, on the ports it had before, and return once it answers."""
        properties = self.folder / "server.properties"
        if not properties.exists():
            self._format(properties)
        flags = [
            "-Xmx512m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            # The one line that names the running version.
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.utils.AppInfoParser=info",
        ]
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*JAVA, *flags, "-cp", f"{self.libraries}/*", "kafka.Kafka", str(properties)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        _wait_for(self._answers, "Kafka's first answer", START_SECONDS)
        stated = re.search(r"Kafka version: (\S+)", self.log())
        self.version = f"Apache Kafka {stated.group(1)}" if stated else "Apache Kafka of an unstated version"

    def stop(self) -> None:
        """Shut the broker down as an operator would; harmless when it is stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker without a chance to tidy up; harmless when it is stopped."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "broker.log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listeners(self) -> dict[str, tuple[str, int]]:
        """Return each listener's protocol and port; the first is the one that `bootstrap_servers` tells."""
        return {"PLAINTEXT": ("PLAINTEXT", self._ports[0])}

    def _lines(self) -> list[str]:
        """Return properties beside the usual ones."""
        return []

    def _users(self) -> list[str]:
        """Return what the broker is formatted with beside the usual."""
        return []

    def _format(self, properties: Path) -> None:
        controller = self._ports[1]
        listeners = self._listeners()
        text = PROPERTIES.format(
            controller=controller,
            listeners=",".join(f"{name}://127.0.0.1:{port}" for name, (_, port) in listeners.items()),
            protocols=",".join(f"{name}:{protocol}" for name, (protocol, _) in listeners.items()),
            folder=self.folder,
        )
        properties.write_text("\n".join([text, *self._lines(), ""]))
        tool = [*JAVA, "-cp", f"{self.libraries}/*", "kafka.tools.StorageTool"]
        cluster = "rlhf-monitor-tests-000"  # 22 characters of base64, as a random one has
        subprocess.run(
            [*tool, "format", "-t", cluster, "-c", str(properties), *self._users()],
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise Unavailable(f"Kafka ended while starting:\n{self.log()[-2000:]}")
        if not _accepts(self._ports[0]):  # the admin client would wait thirty seconds for the port
            return False
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5_000)
        except KafkaError:
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()


class EmbeddedKafka:
    """The demo's broker behind the same face, where the real one cannot be had."""

    is_real = False
    version = "librdkafka's mock broker"

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    @property
    def api_version(self) -> tuple[int, int]:
        return self._broker.api_version

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        if config:
            raise Unavailable(f"the embedded broker knows no topic configuration; {name} wants {dict(config)}")
        self._broker.create_topic(name, partitions)


Kafka = RealKafka | EmbeddedKafka


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def _wanted_version() -> str:
    found = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)</version>", POM.read_text())
    assert found is not None
    return found.group(1)


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(condition: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.2)
