"""The example for Alertmanager, and the rules written for a scrape job of another name, by the real tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dashboards import build, fitted

EXAMPLE = build.ROOT / "dashboards/alertmanager/alertmanager.yaml"
ALERTS = build.ROOT / "dashboards/alerts/alerts.yaml"


DOWN = {
    "summary": "No rlhf-monitor process can be scraped.",
    "description": "Prometheus has reached no process of this deployment for three minutes. Nothing watches the model;"
    " traces wait in Kafka.",
}


def told(*command: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(str(command[0])) is None and os.environ.get("CI") != "true":
        pytest.skip(f"{command[0]} is not installed: apt-get install prometheus prometheus-alertmanager")
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_alertmanager_accepts_the_example() -> None:
    done = told("amtool", "check-config", EXAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on-call"), ("warning", "working-day")])
def test_each_severity_has_its_receiver(severity: str, receiver: str) -> None:
    done = told("amtool", "config", "routes", "test", f"--config.file={EXAMPLE}", f"severity={severity}")
    assert done.stdout.strip() == receiver, done.stderr


def test_every_alert_that_an_inhibition_names_exists() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    inhibitions = yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"]
    for rule in inhibitions:
        assert rule["equal"][:2] == ["namespace", "job"], "no deployment silences another"
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if matcher.startswith('alertname=~"RlhfMonitor('):
                names = matcher.removeprefix('alertname=~"RlhfMonitor(').removesuffix(')"').split("|")
                assert {f"RlhfMonitor{name}" for name in names} <= alerts
            elif matcher.startswith('alertname="'):
                assert matcher.removeprefix('alertname="').removesuffix('"') in alerts


def test_a_deployment_that_was_never_scraped_under_its_own_job_is_told_as_down(tmp_path: Path) -> None:
    runbooks = "https://wiki.example/runbooks/"
    fitted.main(["--job", "pods/llm-1", "--namespace", "production", "--runbooks", runbooks, str(tmp_path)])
    scene = {
        "rule_files": ["recording.yaml", "alerts.yaml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": 'up{namespace="staging",job="pods/llm-1"}', "values": "1x20"},
                    {"series": 'up{namespace="production",job="rlhf-monitor"}', "values": "1x20"},
                ],
                "alert_rule_test": [
                    {
                        "eval_time": "5m",
                        "alertname": "RlhfMonitorDown",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "critical", "namespace": "production", "job": "pods/llm-1"},
                                "exp_annotations": {
                                    **DOWN,
                                    "runbook_url": "https://wiki.example/runbooks/RlhfMonitorDown.md",
                                },
                            }
                        ],
                    }
                ],
            }
        ],
    }
    (tmp_path / "scene.yaml").write_text(yaml.safe_dump(scene))
    done = told("promtool", "test", "rules", tmp_path / "scene.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_wishes_the_rules_stay_as_they_are(tmp_path: Path) -> None:
    fitted.main([str(tmp_path)])
    assert {path.name: path.read_text() for path in tmp_path.glob("*.yaml")} == {
        path.name: path.read_text() for path in fitted.RULES
    }


def test_the_dashboards_lead_to_the_runbooks_where_they_are(tmp_path: Path) -> None:
    fitted.main(["--runbooks", "https://wiki.example/runbooks/", str(tmp_path)])
    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "grafana").iterdir()}
    assert written.keys() == {path.name for path in fitted.DASHBOARDS.iterdir()}
    for dashboard in written.values():
        [address] = [item["query"] for item in dashboard["templating"]["list"] if item["name"] == "runbooks"]
        assert address == "https://wiki.example/runbooks"
