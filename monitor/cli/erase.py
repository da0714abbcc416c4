"""`erase`: somebody's texts deleted wherever they stand, and the record of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.open_desk import open_desk
from monitor.cli.table import moment
from monitor.cli.terminal import cell, complain, say, show_json, show_table
from monitor.errors import InvalidInput

if TYPE_CHECKING:
    from monitor.domain.erasure import Erasure

UNREACHED = (
    "not reached: records on Kafka's topics, backups, files that were exported, models that learnt from the texts;"
    " see docs/privacy.md"
)

erase = typer.Typer(help="Delete the texts of a conversation or a user.", invoke_without_command=True)


@erase.callback()
def erase_texts(
    context: typer.Context,
    *,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Its id, as traces have it.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="The user's id, as traces have it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, and delete nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the texts of a conversation or a user wherever they stand; counts and totals stay."""
    from monitor.domain.erasure import ErasureSubject, SubjectKind

    if context.invoked_subcommand is not None:
        return
    if (conversation is None) == (user is None) or not (conversation or user):
        raise InvalidInput("name whose texts go: --conversation ID or --user ID")
    kind = SubjectKind.USER if conversation is None else SubjectKind.CONVERSATION
    subject = ErasureSubject(kind, conversation or user or "")
    with open_desk() as desk:
        if dry_run or not yes:
            found = desk.erase(subject, dry_run=True)
            if dry_run or not _confirmed(found):
                _show(found, as_json=as_json)
                return
        done = desk.erase(subject, dry_run=False)
    _show(done, as_json=as_json)


@erase.command("list")
def erase_list(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The newest.")] = 50, as_json: AsJson = False
) -> None:
    """List what was erased: when, by whom, and how much; names are kept as their SHA-256 alone."""
    from rich.table import Table

    with open_desk() as desk:
        found = desk.erasures(limit=limit)
    if as_json:
        show_json([asdict(one) for one in found])
        return
    if not found:
        say("nothing was erased yet")
        return
    table = Table("no", "when", "by", "what", "sha256 of its id", "deleted")
    for one in found:
        when = "" if one.at is None else moment(one.at)
        table.add_row(str(one.erasure_id), when, cell(one.actor), one.kind.value, one.sha256[:16], cell(_told(one)))
    show_table(table)


def _confirmed(found: Erasure) -> bool:
    say(f"this would delete {_told(found)}")
    return typer.confirm("delete it for good?")


def _show(erasure: Erasure, *, as_json: bool) -> None:
    if as_json:
        show_json(asdict(erasure))
        return
    verb = "would delete" if erasure.erasure_id is None else f"erasure {erasure.erasure_id}: deleted"
    say(f"{verb} {_told(erasure)}")
    if left := erasure.deleted.get("files_of_running_jobs"):
        complain(f"{left} files belong to jobs that run: erase again when they have ended")
    complain(UNREACHED)


def _told(erasure: Erasure) -> str:
    counted = {name: count for name, count in erasure.deleted.items() if count and name != "files_of_running_jobs"}
    return ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counted.items()) or "nothing"
