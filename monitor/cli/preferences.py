"""`preferences`: the pairs of answers that runs have learnt from, and those that the next one would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.alarm import AsJson, Rows
from monitor.cli.open_desk import open_desk
from monitor.cli.table import preference_set_table
from monitor.cli.terminal import plain, say, show_json, show_table

if TYPE_CHECKING:
    from monitor.labels.card import StoredSet

preferences = typer.Typer(help="What runs have learnt from.", no_args_is_help=True)


@preferences.command("list")
def preferences_list(limit: Rows = 20, *, as_json: AsJson = False) -> None:
    """Show the sets of pairs that runs were given, newest first."""
    with open_desk() as desk:
        found = desk.preference_sets(limit=limit)
    if as_json:
        show_json([asdict(stored) for stored in found])
    elif not found:
        say("no run was given preference pairs yet")
    else:
        show_table(preference_set_table(found))


@preferences.command("show")
def preferences_show(
    sha256: Annotated[str, typer.Argument(help="The set's hash, or how it begins.")], *, as_json: AsJson = False
) -> None:
    """Show a set's data card: what it holds, where that comes from, and what was left out."""
    with open_desk() as desk:
        stored = desk.preference_set(sha256)
    if as_json:
        show_json(asdict(stored))
        return
    for line in _card_lines(stored):
        say(line)


@preferences.command("export")
def preferences_export(
    file: Annotated[Path, typer.Argument(help="The JSON Lines file to write.")],
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="Of a set that a run was given; without it, what a run would get.")
    ] = None,
) -> None:
    """Write pairs to a file: the same bytes that a run was given, or those that a run would be given now."""
    with open_desk() as desk:
        written = desk.export_preferences(file, sha256)
    say(f"{file}: {written.rows} pairs, sha256 {written.sha256}")


def _card_lines(stored: StoredSet) -> Iterator[str]:
    card = stored.card
    jobs = ", ".join(map(str, stored.jobs)) or "none that is known"
    yield f"sha256 {card.sha256}, given on {plain(stored.created_at)} to job {jobs}"
    yield f"{card.pairs} pairs by {card.annotators} annotators, judged from {card.first_at} to {card.last_at}"
    for name, counts in (
        ("source", card.by_source),
        ("criteria", card.by_criteria),
        ("cohort", card.by_cohort),
        ("annotators of a pair", card.by_annotators),
    ):
        yield f"by {name}: {_told(counts)}"
    yield f"judged by models alone: {card.ai_pairs}"
    if card.raw_agreement is not None:
        yield f"raw agreement {card.raw_agreement:.1%} on {card.overlapping} that several annotators judged"
    yield f"left out: {_told(card.dropped)}; labelled traces without text: {card.without_text}"
    yield f"of {card.judgements} judgements {card.corrected} were corrected; {card.merged} hold the same two answers"
    yield f"rules: min_agreement {card.min_agreement}, ai_ratio {card.ai_ratio}"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'not stated'} {count}" for name, count in counts.items()) or "none"
