"""`tokens`: what opens the API, made and ended; secrets are shown once and kept nowhere."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.open_desk import open_desk
from monitor.cli.table import moment
from monitor.cli.terminal import MAX_NUMBER, cell, complain, say, show_json, show_table
from monitor.domain.order import Role
from monitor.errors import InvalidInput

if TYPE_CHECKING:
    from monitor.access.credential import Credential

tokens = typer.Typer(help="Access tokens of the API, and sessions of people.", no_args_is_help=True)


@tokens.command("create")
def create(
    *,
    name: Annotated[str, typer.Option("--name", help="Its holder, as the audit names them.")],
    role: Annotated[Role, typer.Option("--role")],
    days: Annotated[int, typer.Option("--days", min=0, max=3660, help="Until it ends; 0: never.")] = 90,
) -> None:
    """Make a token and print it, alone on stdout: it is told this once."""
    from monitor.access.person import MAX_NAME_CHARACTERS

    if not name.isprintable() or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidInput(f"--name {name!r}: wanted 1 to {MAX_NAME_CHARACTERS} characters that can be printed")
    with open_desk() as desk:
        made = desk.create_token(name, role, days or None)
    complain(f"token {made.kept.credential_id}, {role.value}, of {name!r}: {_end_of(made.kept)}")
    say(made.token)


@tokens.command("list")
def list_all(
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List tokens and sessions, the newest first; those of the settings are not among them."""
    from rich.table import Table

    with open_desk() as desk:
        found = desk.credentials(ended=ended, limit=limit)
    if as_json:
        show_json([asdict(one) for one in found])
        return
    if not found:
        say("no token was made here, and nobody is logged in")
        return
    table = Table("no", "kind", "holder", "role", "made", "by", "used", "ends")
    for one in found:
        used = "never" if one.last_used_at is None else moment(one.last_used_at)
        who = cell(one.name), one.role, moment(one.created_at), cell(one.created_by)
        table.add_row(str(one.credential_id), one.kind.value, *who, used, _end_of(one))
    show_table(table)


@tokens.command("revoke")
def revoke(number: Annotated[int, typer.Argument(min=1, max=MAX_NUMBER, help="As `tokens list` tells it.")]) -> None:
    """End a token or a session; within five seconds no daemon takes it any more."""
    with open_desk() as desk:
        desk.revoke(number)
    say(f"{number} is revoked")


def _end_of(one: Credential) -> str:
    if one.revoked_at is not None:
        return f"revoked {moment(one.revoked_at)}"
    return "never ends" if one.expires_at is None else f"ends {moment(one.expires_at)}"
