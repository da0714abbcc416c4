"""compose.yaml and the image, as far as they can be checked without a container engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.settings.load import load_settings
from tests.real_kafka import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_every_service_leans_on_services_configs_and_volumes_that_are_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
        assert {item["source"] for item in service.get("configs", ())} <= COMPOSE["configs"].keys()
        for source in (item.split(":")[0] for item in service.get("volumes", ())):
            assert (ROOT / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"], source


@pytest.mark.parametrize("scrape", ["", "another-long-random-token"])
def test_the_daemon_accepts_the_settings_that_compose_gives_it(monkeypatch: pytest.MonkeyPatch, scrape: str) -> None:
    for name, value in SERVICES["monitor"]["environment"].items():
        given = re.sub(r"\$\{MONITOR_TOKEN[^}]*\}", "a-long-random-token", value)
        monkeypatch.setenv(name, re.sub(r"\$\{METRICS_TOKEN:-\}", scrape, given))
    settings = load_settings()
    assert (settings.web.metrics_token is None) is (scrape == "")
    assert settings.web.tokens == {"a-long-random-token": "operator"}
    assert settings.kafka.bootstrap_servers == "kafka:9092"


def test_every_embedded_configuration_is_yaml() -> None:
    contents = {name: yaml.safe_load(config["content"]) for name, config in COMPOSE["configs"].items()}
    scraped = contents["prometheus"]["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": ["monitor:8080"]}]
    assert scraped["authorization"] == {"credentials": "${METRICS_TOKEN:-none}"}
    assert f'up{{job="{scraped["job_name"]}"}}' in (ROOT / "dashboards" / "alerts" / "alerts.yaml").read_text()
    assert contents["grafana-datasource"]["datasources"][0]["url"] == "http://prometheus:9090"


def test_grafana_begins_with_a_dashboard_that_is_there() -> None:
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    [mounted] = [item for item in SERVICES["grafana"]["volumes"] if item.split(":")[1] == str(home.parent)]
    assert (ROOT / mounted.split(":")[0] / home.name).is_file()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    content = COMPOSE["configs"]["prometheus"]["content"]
    config.write_text(content.replace("/etc/prometheus", str(ROOT / "dashboards")))
    done = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_the_image_copies_only_what_the_build_context_holds() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert {name for names in copied for name in names.split()} == kept
    assert all((ROOT / name).exists() for name in kept)
