"""The program's commands and groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__
from monitor.cli import alarm, daemon, offline, operate
from monitor.cli.dead_letters import dead_letters
from monitor.cli.demo import demo
from monitor.cli.doctor import doctor
from monitor.cli.erase import erase
from monitor.cli.models import models
from monitor.cli.notify import notify
from monitor.cli.preferences import preferences
from monitor.cli.probes import probes
from monitor.cli.report import jobs_report
from monitor.cli.review import review
from monitor.cli.rewards import serve_rewards
from monitor.cli.server import choose, chosen, refuse_remote
from monitor.cli.signals import signals
from monitor.cli.terminal import say
from monitor.cli.tokens import tokens
from monitor.cli.winrate import winrate

# What no server can do for somebody; other commands say so where they come to it.
HERE = frozenset({"run", "serve-rewards", "demo", "db", "doctor", "decode", "score", "backtest"})

app = typer.Typer(
    name="rlhf-monitor",
    help="Watches an RLHF-tuned language model in production: finds drift, and answers it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(daemon.run)
app.command("serve-rewards")(serve_rewards)
app.command("demo")(demo)
app.add_typer(daemon.db, name="db")
app.add_typer(operate.baseline, name="baseline")
app.add_typer(operate.drift, name="drift")
app.add_typer(alarm.alarms, name="alarms")
app.add_typer(alarm.incidents, name="incidents")
app.add_typer(notify, name="notify")
app.command("winrate")(winrate)
operate.jobs.command("report")(jobs_report)
app.add_typer(operate.jobs, name="jobs")
app.add_typer(operate.gate, name="gate")
app.add_typer(models, name="models")
app.add_typer(review, name="review")
app.add_typer(preferences, name="preferences")
app.add_typer(probes, name="probes")
app.command("decode")(offline.decode)
app.add_typer(erase, name="erase")
app.add_typer(dead_letters, name="dead-letters")
app.command("signals")(signals)
app.command("doctor")(doctor)
app.add_typer(tokens, name="tokens")
app.command("score")(offline.score)
app.command("backtest")(offline.backtest)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"rlhf-monitor {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
    server: Annotated[
        str | None,
        typer.Option("--server", help="Ask the monitor there, say https://monitor.example. [env: MONITOR_SERVER]"),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token for it. [env: MONITOR_TOKEN_FILE, or MONITOR_TOKEN]"),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of who signed its certificate. [env: MONITOR_CA]")
    ] = None,
) -> None:
    """Watches an RLHF-tuned language model in production: finds drift, and answers it."""
    choose(server, token_file, ca)
    found = chosen()
    if found is not None and found.by_option and context.invoked_subcommand in HERE:
        refuse_remote(f"`{context.invoked_subcommand}` works on this machine")
