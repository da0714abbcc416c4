"""Every query of every dashboard, asked of a real Prometheus that holds what the demo exported."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import product
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from monitor.telemetry.declaration import Kind
from monitor.telemetry.metrics import Metrics, Stage
from monitor.telemetry.series import DAEMON_SERIES, SERIES, SERVING_SERIES
from tests.ports import free_port
from tests.program import wait_for
from tests.real_kafka import ROOT, in_ci
from tests.real_prometheus import running_program
from tests.recorded_metrics import ADDED, recorded

pytestmark = pytest.mark.prometheus
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "dashboards/grafana").glob("*.json"))}
FILLED = {"namespace": "demo", "job": ".*", "model": ".*", "signal": ".*", "cohort": r"\\*", "window": "2m"}
STEP_SECONDS = 15
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} \S+ (?P<at>[0-9.]+)")


MADE_UP = "elsewhere"  # the namespace of a deployment that has what the demo lacks
Values = dict[str, tuple[str, ...]]
LACKING: dict[str, Values] = {  # series that the demo does not export, and the values that panels choose some by
    "monitor_shadow_alike": {"measure": ("correlation", "mean_difference")},
    "monitor_shadow_traces": {},
    "monitor_probe_answered": {},
    "monitor_probe_last_run_timestamp_seconds": {},
    "monitor_probe_rate": {"bound": ("estimate",)},
    "monitor_probe_runs_total": {},
    "monitor_judged_answers_total": {},
    "monitor_signal_failures_total": {},
    "monitor_refusal_uncovered_total": {},
    "monitor_skipped_total": {},
    "monitor_notifications_total": {"outcome": ("sent",)},
    "monitor_notification_wait_seconds": {},
}
THERE = ("monitor_stream_sum_total", "monitor_stream_observations_total")  # but not of a signal that a panel is about
SERVED = {series.name for series in SERVING_SERIES}


def made_up(end: float) -> Iterator[str]:
    """Yield samples of a deployment with all that the demo lacks, in the last minute before *end*."""
    chosen = LACKING | {name: {} for name in SERVED}
    chosen |= {name: {"signal": ("refusal_accuracy",), "cohort": ("*",), "sign": ("added", "taken")} for name in THERE}
    declared = {series.name: series for series in SERIES}
    alert = '{alertname="RlhfMonitorDown",alertstate="firing"'
    for at, value in ((end - 60, 1), (end - 30, 3), (end, 7)):
        yield f'ALERTS{alert},namespace="{MADE_UP}",job="x"}} 1 {at:.3f}'
        for name, values in chosen.items():
            series = declared[name]
            suffixes = ("_bucket", "_sum", "_count") if series.kind is Kind.HISTOGRAM else ("",)
            for suffix, labels in product(suffixes, product(*(values.get(label, ("x",)) for label in series.labels))):
                text = "".join(f'{key}="{word}",' for key, word in zip(series.labels, labels, strict=True))
                text += 'le="+Inf",' if suffix == "_bucket" else ""
                yield f'{name}{suffix}{{{text}namespace="{MADE_UP}",job="x"}} {value} {at:.3f}'


class Answers:
    """A Prometheus, and the time that its samples are of."""

    def __init__(self, url: str, start: float, end: float) -> None:
        self._url = url
        self.start, self.end = start, end

    def now(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of *expression* at the demo's end that have a value."""
        found = self._ask("query", query=expression, time=self.end)
        return [series for series in found if not math.isnan(float(series["value"][1]))]

    def over_time(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of *expression* that have a value at any time of the demo."""
        found = self._ask("query_range", query=expression, start=self.start, end=self.end, step=STEP_SECONDS)
        return [series for series in found if any(not math.isnan(float(value)) for _, value in series["values"])]

    def examples(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of the exemplars behind *expression* that were scraped in this minute."""
        now = time.time()
        found = self._ask("query_exemplars", query=expression, start=now - 60, end=now + 60)
        return [example["labels"] for series in found for example in series["exemplars"]]

    def is_ready(self) -> bool:
        try:
            return bool(self.now("monitor_leader"))
        except OSError:
            return False

    def _ask(self, what: str, **asked: object) -> list[dict[str, Any]]:
        body = urllib.parse.urlencode(asked).encode()
        with urllib.request.urlopen(f"{self._url}/api/v1/{what}", body, timeout=30) as answer:
            told = json.load(answer)["data"]
        found: list[dict[str, Any]] = told if what == "query_exemplars" else told["result"]
        return found


@pytest.fixture(scope="module")
def exporter() -> Iterator[int]:
    """The port of a process that has just stored a batch, whose first trace has an id of W3C's."""
    registry = CollectorRegistry()
    with Metrics(registry).timed(Stage.CHECKPOINT, [f"{TRACE}-{SPAN}"]):
        pass
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, exporter: int) -> Iterator[Answers]:
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if missing and in_ci():
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; apt-get install prometheus")
    folder, samples = tmp_path_factory.mktemp("recorded"), recorded()
    start, end = (float(edge.rsplit(" ", 1)[1]) for edge in (samples.splitlines()[0], samples.splitlines()[-1]))
    (folder / "samples.txt").write_text("\n".join([samples, *made_up(end), "# EOF\n"]))
    made = ("promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data")
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    scraped = {
        "job_name": "now",
        "scrape_interval": "500ms",
        "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scraped]}))
    port = free_port()
    with ExitStack() as leaving:
        leaving.enter_context(
            running_program(folder / "prometheus.log", "prometheus", f"--config.file={folder}/prometheus.yml",
                            f"--storage.tsdb.path={folder}/data", "--storage.tsdb.retention.time=100y",
                            "--enable-feature=exemplar-storage",
                            f"--web.listen-address=127.0.0.1:{port}")
        )  # fmt: skip
        found = Answers(f"http://127.0.0.1:{port}", start, end)
        wait_for(found.is_ready, "Prometheus")
        yield found


def filled(text: str, values: Mapping[str, str] = FILLED) -> str:
    """Return a query as Grafana asks it."""
    for name, value in {"__rate_interval": "2m", **values}.items():
        text = re.sub(rf"\$\{{?{name}(?::\w+)?\b\}}?", value.replace("\\", "\\\\"), text)
    assert "$" not in text, text
    return text


PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_shows_something_of_the_demo_or_says_why_not(answers: Answers, panel: dict[str, Any]) -> None:
    reason = panel["fieldConfig"]["defaults"].get("noValue", "")
    for target in panel["targets"]:
        ask = answers.over_time if target["range"] else answers.now
        if not ask(filled(target["expr"])):
            assert reason.endswith("."), f"no answer, and no reason: {target['expr']}"


def test_a_panel_that_is_empty_in_the_demo_is_so_for_its_series_alone(answers: Answers) -> None:
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"]
                if not answers.over_time(filled(query)):
                    assert answers.over_time(filled(query, {**FILLED, "namespace": MADE_UP})), f"{name}: {query}"


def test_each_signal_has_a_panel_with_its_mean_and_its_baseline_in_one_unit(answers: Answers) -> None:
    [panel] = [panel for panel in DASHBOARDS["drift"]["panels"] if panel.get("repeat") == "signal"]
    mean, baseline = (target["expr"] for target in panel["targets"])
    signals = {series["metric"]["signal"] for series in answers.now("count by (signal) (monitor_stream_mean)")}
    assert {"response_length", "refusal", "reward"} <= signals
    for signal in signals:
        told = [answers.over_time(filled(query, {**FILLED, "signal": signal})) for query in (mean, baseline)]
        assert len({series["metric"]["unit"] for found in told for series in found}) == 1, signal
        assert {series["metric"]["bound"] for series in told[1]} == {"lower", "mean", "upper"}, signal


def test_a_mean_over_a_window_follows_the_drift(answers: Answers) -> None:
    [panel] = [panel for panel in DASHBOARDS["overview"]["panels"] if panel["title"] == "Length of answers"]
    [series] = answers.over_time(filled(panel["targets"][0]["expr"], {**FILLED, "window": "1m"}))
    lengths = [float(value) for _, value in series["values"]]
    assert max(lengths) > 1.3 * lengths[0], "the demo's release goes wrong: its answers are padded"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_choice_of_a_dashboard_offers_something(answers: Answers, name: str) -> None:
    for choice in DASHBOARDS[name]["templating"]["list"]:
        if choice["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", choice["query"]["query"])
            assert found is not None
            assert answers.over_time(filled(f"count by ({found[2]}) ({found[1]})")), choice["name"]


def test_marks_are_put_where_alarms_began_and_models_were_promoted(answers: Answers) -> None:
    marks = {mark["name"]: mark for mark in DASHBOARDS["overview"]["annotations"]["list"]}
    for name, labels in (("Alarms", {"incident", "signal", "cohort", "direction"}), ("Promotions", {"role"})):
        found = answers.over_time(filled(marks[name]["expr"]))
        assert found, name
        for series in found:
            assert labels <= series["metric"].keys()
            times = [float(value) / 1000 for _, value in series["values"]]
            assert all(answers.start - 3 * 86_400 < at <= answers.end for at in times), "the demo's days are recent"


def test_a_point_of_a_slow_batch_leads_to_one_of_its_traces(answers: Answers) -> None:
    [query] = [
        target["expr"]
        for panel in DASHBOARDS["ingest"]["panels"]
        for target in panel.get("targets", [])
        if target.get("exemplar")
    ]
    anywhere = filled(query, {**FILLED, "namespace": ".*"})
    wait_for(lambda: bool(answers.examples(anywhere)), "an exemplar")
    assert answers.examples(anywhere) == [{"trace_id": TRACE, "span_id": SPAN}]


def test_the_recording_is_of_the_series_that_are_exported_now() -> None:
    """Else the dashboards are held against what is no more: `python -m tests.recorded_metrics` records it anew."""
    labels = {
        series.name + suffix: set(series.labels) | ({"le"} if suffix == "_bucket" else set())
        for series in SERIES
        for suffix in (("_bucket", "_sum", "_count") if series.kind is Kind.HISTOGRAM else ("",))
    }
    seen = {}
    for line in recorded().splitlines():
        found = SAMPLE.fullmatch(line)
        assert found is not None, line
        seen[found["name"]] = set(re.findall(r'(\w+)="', found["labels"])) - ADDED.keys()
    assert {name: labels.get(name) for name in seen} == seen
    silent = {series.name for series in DAEMON_SERIES} - {re.sub(r"_(bucket|sum|count)$", "", name) for name in seen}
    assert silent == set(LACKING)
