"""`models`: the reward ensembles and policies that are registered, and where each comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from monitor.cli.alarm import AsJson, Rows
from monitor.cli.open_desk import open_desk
from monitor.cli.table import announcement_table, model_table
from monitor.cli.terminal import say, show_json, show_table
from monitor.errors import NotFound
from monitor.runs.model import ModelQuery, ModelRole, ModelState

models = typer.Typer(help="Registered models.", no_args_is_help=True)


@models.command("list")
def models_list(
    role: Annotated[ModelRole | None, typer.Option("--role", help="Of this role alone.")] = None,
    *,
    state: Annotated[
        list[ModelState] | None, typer.Option("--state", help="Only those that stand so; may be repeated.")
    ] = None,
    limit: Rows = 50,
    as_json: AsJson = False,
) -> None:
    """Show the registered models, the newest first, and which of them are champions."""
    with open_desk() as desk:
        found = desk.models(ModelQuery(role, frozenset(state or ())), limit=limit)
    if as_json:
        show_json([asdict(model) for model in found])
    elif not found:
        say("no such model is registered" if role or state else "no model is registered")
    else:
        show_table(model_table(found))


@models.command("show")
def models_show(
    version: Annotated[str, typer.Argument(help="As `models list` shows it.")],
    *,
    card: Annotated[bool, typer.Option("--card", help="The model card, in Markdown, and nothing else.")] = False,
) -> None:
    """Show one model with its lineage, as JSON."""
    with open_desk() as desk:
        detail = desk.model(version)
    if detail is None:
        raise NotFound(f"there is no model {version!r}: `models list` shows them")
    if not card:
        show_json(asdict(detail))
        return
    if detail.card is None:
        raise NotFound(f"model {version} has no card: it was registered before there were any")
    for line in detail.card.splitlines():
        say(line)


@models.command("announcements")
def models_announcements(limit: Rows = 20, *, as_json: AsJson = False) -> None:
    """Show what was told of promoted and rolled back policies, and what is still to be told, newest first."""
    with open_desk() as desk:
        found = desk.announcements(limit=limit)
    if as_json:
        show_json([asdict(announcement) for announcement in found])
    elif not found:
        say("no policy was promoted or rolled back yet")
    else:
        show_table(announcement_table(found))
