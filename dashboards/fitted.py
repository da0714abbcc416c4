"""Write rules, alerts and dashboards for another scrape job, for one namespace, or with runbooks at another address.

`python -m dashboards.fitted --job my-job --namespace production --runbooks https://wiki.example/runbooks FOLDER`
writes recording.yaml, alerts.yaml and grafana/*.json into FOLDER. Prometheus cannot know the job's name by itself: a
rule about a job that does not exist would see no deployment at all, or call it dead. Dashboards let people choose the
job; only the runbooks' address is put into them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

DASHBOARDS = Path(__file__).parent / "grafana"
RULES = tuple(Path(__file__).parent / name for name in ("rules/recording.yaml", "alerts/alerts.yaml"))
_JOB = 'job="rlhf-monitor"'
_RUNBOOKS = "dashboards/runbooks"


def fit(rules: str, *, job: str, namespace: str | None, runbooks: str) -> str:
    """Return *rules* about *job* alone, and about *namespace* alone unless that is None."""
    selected = f"job={json.dumps(job)}"
    if namespace is not None:
        selected = f"namespace={json.dumps(namespace)},{selected}"
    return rules.replace(_JOB, selected).replace(_RUNBOOKS, runbooks.rstrip("/"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.fitted", description="Write rules, alerts and dashboards."
    )
    parser.add_argument("--job", default="rlhf-monitor", help="label job of the scraped processes")
    parser.add_argument("--namespace", help="label namespace; without it all deployments under the job")
    parser.add_argument("--runbooks", default=_RUNBOOKS, help="where the files of dashboards/runbooks are served")
    parser.add_argument("folder", type=Path, help="where the files are written; it is made")
    wanted = parser.parse_args(arguments)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for path in RULES:
        text = fit(path.read_text(), job=wanted.job, namespace=wanted.namespace, runbooks=wanted.runbooks)
        (wanted.folder / path.name).write_text(text)
    (wanted.folder / DASHBOARDS.name).mkdir(exist_ok=True)
    for path in DASHBOARDS.glob("*.json"):
        (wanted.folder / DASHBOARDS.name / path.name).write_text(
            path.read_text().replace(_RUNBOOKS, wanted.runbooks.rstrip("/"))
        )


if __name__ == "__main__":
    main()
