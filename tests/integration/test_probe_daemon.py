"""The whole program probes its live model: killed in the middle of a run, and taken up by another."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.integration.probing import reply
from tests.program import Program, Site, running, wait_for
from tests.real_kafka import Kafka
from tests.reference_server import Reply, TroubledServer

pytestmark = pytest.mark.postgres
HELP = "Of course: begin with the first step."


@dataclass(frozen=True)
class ProbedSite(Site):
    endpoint: str = ""

    def form(self) -> dict[str, dict[str, Any]]:
        probes = {"endpoint": self.endpoint, "items_per_run": 20, "concurrency": 2, "cron": "0 0 1 1 *"}
        return super().form() | {"probes": probes}


def test_a_daemon_killed_in_the_middle_of_a_run_leaves_it_to_the_next_which_stores_it_once(
    kafka: Kafka, postgres_url: str, tmp_path: Path
) -> None:
    answers = threading.Event()

    def hold(number: int, _prompt: str) -> Reply:
        if number > 10 and not answers.is_set():
            answers.wait(60.0)
        return reply(HELP)

    with TroubledServer(trouble=hold) as server:
        site = ProbedSite(kafka, postgres_url, endpoint=server.url)
        with Program(site, tmp_path) as program:
            wait_for(lambda: server.asked.total() > 10, "questions")
            program.kill()
        assert site.query("select state, count(*) from probe_run group by 1") == [("running", 4)]
        assert site.count("probe_answer") == 0
        first = set(server.asked)
        answers.set()
        with running(site.settings()) as daemon:
            wait_for(lambda: site.query("select min(state), max(state) from probe_run") == [("done", "done")], "runs")
            url = f"http://127.0.0.1:{daemon.port}"
            told = json.loads(urlopen(f"{url}/api/v1/probes").read())
            counted = 'monitor_probe_runs_total{state="done",suite="capability"} 1.0'
            wait_for(lambda: counted in urlopen(f"{url}/metrics").read().decode(), "the run's count")
    assert [row["last_run"]["state"] for row in told] == ["done"] * 4
    assert site.query("select source, count(*), sum(places) from log_entry where source = 'probes' group by 1") == [
        ("probes", 3, 60)  # of sycophancy no answer chose an option, so nothing is told
    ]
    assert site.count("probe_run") == 4
    assert site.count("probe_answer") == 80
    asked = {name for name, count in server.asked.items() if count > 1}
    assert first <= asked  # the run that was begun is asked again, with the same items
