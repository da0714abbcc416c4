"""`doctor`: what this installation lacks, before the daemon runs into it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.server import refuse_remote
from monitor.cli.terminal import say, show_json
from monitor.domain.checkup import Outcome


def doctor(
    *,
    prometheus: Annotated[
        str | None,
        typer.Option("--prometheus", metavar="URL", help="See what it has loaded. [default: web.prometheus_url]"),
    ] = None,
    loads: Annotated[bool, typer.Option("--load/--no-load", help="Load each model, which takes its memory.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check settings, packages, tokens, database, brokers, topics, Prometheus, models and disk; exit 1 on a failure."""
    from monitor.app.doctor.checks import all_findings

    refuse_remote("`doctor` looks at this machine")
    failed = 0
    told = []
    for finding in all_findings(prometheus=prometheus, loads=loads):
        failed += finding.outcome is Outcome.FAIL
        told.append(asdict(finding))
        if not as_json:
            say(f"{finding.outcome.value:<4}  {finding.about}: {finding.found}")
            if finding.advice:
                say(f"      -> {finding.advice}")
    if as_json:
        show_json(told)
    if failed:
        raise typer.Exit(1)
