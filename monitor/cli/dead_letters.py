"""`dead-letters`: what could not be read, and the way back for what can be read now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.letter import HELD, letter_json, letter_lines, letter_table, time_of
from monitor.cli.letter_desk import open_letters
from monitor.cli.terminal import hand_out, say, show_json, show_table
from monitor.errors import InvalidInput, NotFound
from monitor.ingest.letter import LetterFilter, Replay, place_of

dead_letters = typer.Typer(help="Records that could not be read.", no_args_is_help=True)
Reason = Annotated[str | None, typer.Option("--reason", help="Only letters with this reason.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Only records that came from this topic.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only letters from then on: 90m, 2h, 3d, or 2026-11-22T14:00Z.")
]
Until = Annotated[str | None, typer.Option("--until", help="Only letters from before then, told in the same way.")]


@dead_letters.command("list")
def letters_list(
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Rows at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest letters, and how many there are of each reason."""
    wanted = _filter(reason, topic, since, until)
    with open_letters() as desk:
        found = desk.letters(wanted, limit=limit)
    if as_json:
        show_json([asdict(row) for row in found.rows])
        return
    if found.rows:
        show_table(letter_table(found.rows))
    ordered = sorted(found.reasons.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{reason} {count}" for reason, count in ordered)
    say(f"{len(found.rows)} of {found.reasons.total()} letters{': ' if told else ''}{told}")
    if found.remark:
        say(found.remark)


@dead_letters.command("show")
def letters_show(
    place: Annotated[str, typer.Argument(help="The letter's place in `dead-letters list`: topic:partition:offset.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the record's bytes alone, as they are.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the record's bytes to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter: what was wrong, where its record stood, and the record itself."""
    with open_letters() as desk:
        letter = desk.letter(place_of(place))
    if out is not None:
        try:
            out.write_bytes(letter.value)
        except OSError as error:
            raise InvalidInput(f"--out {out}: {error.strerror}; wanted a file that can be written") from None
        say(f"{out}: {len(letter.value)} bytes")
    elif raw:
        hand_out(letter.value)
    elif as_json:
        show_json(letter_json(letter))
    else:
        for line in letter_lines(letter):
            say(line)


@dead_letters.command("replay")
def letters_replay(
    places: Annotated[
        list[str] | None, typer.Argument(help="Letters by their places; without one, all of them.")
    ] = None,
    *,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The oldest N alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Write letters' records back to their topics, where each that is good now counts once."""
    wanted = _filter(reason, topic, since, until, places=places or ())
    with open_letters() as desk:
        found = desk.replay(wanted, limit=limit, dry_run=dry_run or not yes)
        for flaw, count in found.held.items():
            say(f"held back: {count} letters that {HELD[flaw]}")
        if not found.records:
            raise NotFound("no letter to replay")
        if dry_run:
            say(f"would write {_counted(found)}")
            return
        if not yes:
            if not typer.confirm(f"Write {_counted(found)}?"):
                raise typer.Exit(1)
            found = desk.replay(wanted, limit=limit, dry_run=False)
    told = ", ".join(f"{count} to {name}" for name, count in found.records.items())
    say(f"{found.written} records are written: {told}")


def _counted(found: Replay) -> str:
    told = ", ".join(f"{count} to {name}" for name, count in found.records.items())
    return f"{sum(found.records.values())} records: {told}"


def _filter(
    reason: str | None, topic: str | None, since: str | None, until: str | None, *, places: Sequence[str] = ()
) -> LetterFilter:
    now = datetime.now(UTC)
    named = frozenset(map(place_of, places))
    begin, end = time_of(since, "--since", now), time_of(until, "--until", now)
    return LetterFilter(reason=reason, topic=topic, since=begin, until=end, places=named)
