"""`doctor`: what this installation lacks, before the daemon runs into it."""

from __future__ import annotations

from dataclasses import asdict

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.server import refuse_remote
from monitor.cli.terminal import say, show_json
from monitor.domain.checkup import Outcome


def doctor(as_json: AsJson = False) -> None:
    """Check settings, packages, tokens, database, brokers, topics, models and disk; exit 1 where anything fails."""
    from monitor.app.doctor.checks import all_findings

    refuse_remote("`doctor` looks at this machine")
    failed = 0
    told = []
    for finding in all_findings():
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
