"""`review`: the queue of answers that people judge."""

from __future__ import annotations

import typer

from monitor.cli.agreement import agreement

review = typer.Typer(help="The answers that people judge, and how far they agree.", no_args_is_help=True)
review.command("agreement")(agreement)


@review.callback()
def group() -> None:
    """The answers that people judge, and how far they agree."""
