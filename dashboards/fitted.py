"""Write the rules and alerts for another scrape job, for one namespace, or with runbooks at another address.

`python -m dashboards.fitted --job my-job --namespace production --runbooks https://wiki.example/runbooks FOLDER`
writes recording.yaml and alerts.yaml into FOLDER. Prometheus cannot know the job's name by itself: a rule about a
job that does not exist would see no deployment at all, or call it dead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

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
    parser = argparse.ArgumentParser(prog="python -m dashboards.fitted", description="Write rules and alerts.")
    parser.add_argument("--job", default="rlhf-monitor", help="label job of the scraped processes")
    parser.add_argument("--namespace", help="label namespace; without it all deployments under the job")
    parser.add_argument("--runbooks", default=_RUNBOOKS, help="where the files of dashboards/runbooks are served")
    parser.add_argument("folder", type=Path, help="where the files are written")
    wanted = parser.parse_args(arguments)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for path in RULES:
        text = fit(path.read_text(), job=wanted.job, namespace=wanted.namespace, runbooks=wanted.runbooks)
        (wanted.folder / path.name).write_text(text)


if __name__ == "__main__":
    main()
