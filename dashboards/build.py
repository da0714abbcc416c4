"""Write what is generated: Grafana's dashboards and docs/metrics.md.

`python -m dashboards.build` writes them; the tests hold them current.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashboards.drift import drift
from dashboards.frame import render
from dashboards.ingest import ingest
from dashboards.overview import overview
from dashboards.retraining import retraining
from dashboards.rewards import rewards
from monitor.telemetry.declaration import Part, Series
from monitor.telemetry.series import SERIES

ROOT = Path(__file__).parent.parent
DASHBOARDS = ROOT / "dashboards/grafana"
METRICS_PAGE = ROOT / "docs/metrics.md"

_PARTS: Mapping[Part, str] = {
    Part.WORKER: "Every process of `rlhf-monitor run` exports these; sum or take the maximum over processes.",
    Part.CONTROLLER: (
        "The leader alone exports these, `monitor_leader` excepted. Each is withdrawn where it has not been confirmed"
        " for 30 seconds (and `drift.fold_seconds`): PostgreSQL is away, or the leader hangs."
        " A number that is missing is unknown, never 0."
    ),
    Part.SERVING: "Exported by `rlhf-monitor serve-rewards`, with `monitor_scored_tokens_total` and"
    " `monitor_build_info` from above.",
}


def render_dashboards() -> dict[str, str]:
    """Return each dashboard by its file's name; the uids are fixed, so that links outlive a rebuild."""
    return {
        "overview.json": render("rlhf-monitor", "Overview", "Is it well, and what is wrong?", overview()),
        "drift.json": render("rlhf-monitor-drift", "Drift", "Signals against their baseline, and alarms.", drift()),
        "rewards.json": render("rlhf-monitor-rewards", "Rewards", "What reward models and people say.", rewards()),
        "ingest.json": render("rlhf-monitor-ingest", "Ingest", "What comes in, and what becomes of it.", ingest()),
        "retraining.json": render(
            "rlhf-monitor-retraining", "Retraining", "Labels, runs, and what follows a promotion.", retraining()
        ),
    }


def render_metrics_page() -> str:
    lines = [
        "# Metrics",
        "",
        "What the program exports on `/metrics`: how it does itself, and what it has found. Alerts and dashboards",
        "are made of these series; [deploy.md](deploy.md) tells how to bring them into Prometheus and Grafana.",
        "",
        "- Keep deployments apart by `namespace` and `job`, the labels that Prometheus adds. Rules and panels do.",
        "- Label values come from enums and settings. `cohort` comes from the traces' own labels: its number is",
        "  bounded by `ingest.max_cohorts`, and what cannot be seen in it is written as an escape. `model` comes from",
        "  them too: ten policy models are told apart, and the others are `other`.",
        "- `incident` is a number. The 1,000 newest open incidents are shown, with some series each.",
        "- `monitor_stream_mean` counts since the baseline. For the mean over a window, say an hour, take",
        '  `(sum by (signal, cohort) (rate(monitor_stream_sum_total{sign="added"}[1h])) - sum by (signal, cohort)',
        '  (rate(monitor_stream_sum_total{sign="taken"}[1h]))) / sum by (signal, cohort)',
        "  (rate(monitor_stream_observations_total[1h]))`.",
        "- Who scrapes by OpenMetrics gets exemplars with `monitor_stage_seconds`: the id of a trace of the batch, as",
        "  `trace_id` and `span_id`. An id that is neither a W3C trace id nor a UUID is the producer's own words. It",
        "  might name a person, and is never exported. Prometheus keeps them by `--enable-feature=exemplar-storage`.",
        "- Generated from `monitor/telemetry/series.py` and its `*_series.py` by `python -m dashboards.build`.",
    ]
    for part, note in _PARTS.items():
        lines += ["", f"## {part.value.capitalize()}", "", note, "", "| series | type | labels | unit | meaning |"]
        lines += ["|---|---|---|---|---|", *(_table_row(series) for series in SERIES if series.part is part)]
    return "\n".join(lines) + "\n"


def main() -> None:
    for name, text in render_dashboards().items():
        (DASHBOARDS / name).write_text(text)
    METRICS_PAGE.write_text(render_metrics_page())


def _table_row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    return f"| `{series.name}` | {series.kind} | {labels} | {series.unit} | {series.help} |"


if __name__ == "__main__":
    main()
