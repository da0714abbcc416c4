"""A real Prometheus and Alertmanager with our rules, their durations cut, and a receiver of what they tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ports import free_port
from tests.real_kafka import ROOT, in_ci

PROGRAMS = ("prometheus", "prometheus-alertmanager")
FASTER = 60  # a minute of the rules is a second here
SCRAPE = "500ms"
_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?P<before>\[|for: |interval: |offset )(?P<number>\d+)(?P<unit>[smhd])\b")


@dataclass(frozen=True)
class Notice:
    """One alert as Alertmanager has told it."""

    receiver: str
    page: str  # the same for all that is told of one group
    status: str  # firing or resolved
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def matches(self, status: str, **labels: str) -> bool:
        return self.status == status and labels.items() <= self.labels.items()


class Receiver:
    """A webhook that keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def take(self, body: bytes) -> None:
        told = json.loads(body)
        self.notices += [
            Notice(told["receiver"], told["groupKey"], alert["status"], alert["labels"], alert["annotations"])
            for alert in told["alerts"]
        ]

    def find(self, status: str, **labels: str) -> list[Notice]:
        return [notice for notice in self.notices if notice.matches(status, **labels)]

    def pages(self, **labels: str) -> set[str]:
        """Return the pages of what fired with *labels*: each is one call of whoever is on duty."""
        return {notice.page for notice in self.find("firing", **labels) if notice.receiver == "on-call"}


@dataclass(frozen=True)
class Alerting:
    receiver: Receiver
    url: str  # Prometheus
    manager_url: str

    def is_inhibited(self, **labels: str) -> bool:
        """Say whether Alertmanager holds an alert with *labels* back, since another tells of its cause."""
        with urllib.request.urlopen(f"{self.manager_url}/api/v2/alerts", timeout=5) as answer:
            alerts = json.load(answer)
        held = [alert for alert in alerts if alert["status"]["inhibitedBy"]]
        return any(labels.items() <= alert["labels"].items() for alert in held)

    def query(self, expression: str) -> list[dict[str, Any]]:
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


def faster(rules: str) -> str:
    """Return *rules* with every duration cut; numbers that are compared with values stay."""

    def cut(found: re.Match[str]) -> str:
        return f"{found['before']}{int(found['number']) * _MILLISECONDS[found['unit']] // FASTER}ms"

    return _DURATION.sub(cut, rules)


@contextmanager
def serving(answer: Callable[[bytes], str]) -> Iterator[int]:
    """Answer every GET and POST with what *answer* makes of its body; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer(self.rfile.read(int(self.headers.get("Content-Length", 0)))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server looks for this name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def alerting(folder: Path, targets: Mapping[str, int]) -> Iterator[Alerting]:
    """Scrape the ports of *targets*, by namespace; tell a receiver what rules and the shipped example make of them."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and in_ci():
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; apt-get install prometheus prometheus-alertmanager")
    receiver, manager, prometheus = Receiver(), free_port(), free_port()

    def take(body: bytes) -> str:
        receiver.take(body)
        return ""

    with ExitStack() as leaving:
        webhook = leaving.enter_context(serving(take))
        _write_configuration(folder, targets, webhook=webhook, manager=manager)
        leaving.enter_context(
            running_program(folder / "alertmanager.log", "prometheus-alertmanager",
                            f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alertmanager",
                            f"--web.listen-address=127.0.0.1:{manager}", "--cluster.listen-address=")
        )  # fmt: skip
        leaving.enter_context(
            running_program(folder / "prometheus.log", "prometheus", f"--config.file={folder}/prometheus.yml",
                            f"--storage.tsdb.path={folder}/prometheus", f"--web.listen-address=127.0.0.1:{prometheus}",
                            "--query.lookback-delta=5s", "--rules.alert.resend-delay=1s")
        )  # fmt: skip
        yield Alerting(receiver, f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{manager}")


def _write_configuration(folder: Path, targets: Mapping[str, int], *, webhook: int, manager: int) -> None:
    (folder / "rules").mkdir()
    for path in (*(ROOT / "dashboards/rules").glob("*.yaml"), *(ROOT / "dashboards/alerts").glob("*.yaml")):
        (folder / "rules" / path.name).write_text(faster(path.read_text()))
    scraped = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": namespace}} for namespace, port in targets.items()
    ]
    prometheus = {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": [f"{folder}/rules/*.yaml"],
        "scrape_configs": [{"job_name": "rlhf-monitor", "static_configs": scraped}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]},
    }
    alertmanager = yaml.safe_load((ROOT / "dashboards/alertmanager/alertmanager.yaml").read_text())
    alertmanager["route"] |= {"group_wait": "500ms", "group_interval": "500ms", "repeat_interval": "1h"}
    for receiver in alertmanager["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://127.0.0.1:{webhook}"}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager))


@contextmanager
def running_program(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
