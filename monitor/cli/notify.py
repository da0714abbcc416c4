"""`notify`: who is told of incidents by the daemon itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.open_desk import open_desk
from monitor.cli.server import refuse_remote
from monitor.cli.table import receiver_table
from monitor.cli.terminal import say, show_json, show_table
from monitor.errors import NotFound

notify = typer.Typer(help="Who is told of incidents by the daemon itself.", no_args_is_help=True)


@notify.command("status")
def notify_status(as_json: AsJson = False) -> None:
    """Show each receiver of the settings: when it last took a message, and what it has not taken."""
    with open_desk() as desk:
        found = desk.receivers()
    if as_json:
        show_json([asdict(one) for one in found])
    elif not found:
        say("nobody is told: notify.webhook, notify.slack, notify.pagerduty and notify.email name no receiver")
    else:
        show_table(receiver_table(found))


@notify.command("test")
def notify_test(
    receiver: Annotated[str | None, typer.Argument(help="Its name in the settings; all without.")] = None,
) -> None:
    """Send a test message and show what came back; fails where a receiver did not take it. It needs no database."""
    from monitor.app.notifying import send_test
    from monitor.notify.notice import Failed
    from monitor.settings.load import load_settings

    refuse_remote("`notify test` sends from this machine")
    answers = send_test(load_settings(), receiver)
    if not answers:
        named = "no receiver" if receiver is None else f"no receiver {receiver!r}"
        raise NotFound(f"the settings name {named}: see notify in docs/notifications.md")
    for name, answer in answers.items():
        failed = isinstance(answer, Failed)
        say(f"{name}: {answer.error if isinstance(answer, Failed) else answer.said}" + " (not taken)" * failed)
    if any(isinstance(answer, Failed) for answer in answers.values()):
        raise typer.Exit(1)
