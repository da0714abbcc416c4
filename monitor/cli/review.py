"""`review`: the queue of traces that people judge, what they judge by, and its files for other tools."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.agreement import agreement
from monitor.cli.alarm import AsJson
from monitor.cli.database import open_database
from monitor.cli.open_desk import open_desk
from monitor.cli.terminal import complain, plain, say, show_json
from monitor.domain.label import PREFERENCE
from monitor.domain.review import MAX_CRITERIA_CHARACTERS, MAX_VERSION_CHARACTERS, Criteria
from monitor.errors import InvalidInput, NotFound

MAX_EXPORTED = 100_000

review = typer.Typer(help="The queue of traces that people judge, and how far they agree.", no_args_is_help=True)
criteria = typer.Typer(help="What annotators judge by, in versions.", no_args_is_help=True)
review.add_typer(criteria, name="criteria")
review.command("agreement")(agreement)
Version = Annotated[str, typer.Argument(help="Its name, as labels carry it.")]


class Tool(StrEnum):
    LABEL_STUDIO = "label-studio"
    ARGILLA = "argilla"
    JSONL = "jsonl"


Format = Annotated[Tool, typer.Option("--format", help="Whose files.")]


@review.command("status")
def review_status(as_json: AsJson = False) -> None:
    """Show how many items wait, what was answered in a day, and how often a trace is drawn."""
    with open_desk() as desk:
        found = desk.review_status()
    if as_json:
        show_json(asdict(found))
        return
    items, answers, plan = found.items, found.answers, found.plan
    say(f"items: {items['open']} open; of the last seven days {items['done']} done, {items['missing']} missing")
    say(f"answers in 24 hours: {', '.join(f'{count} {answer}' for answer, count in answers.items())}")
    if plan is None:
        say("drawn: nothing is planned yet; the daemon's leader plans")
        return
    say(f"drawn: one trace in {1 / plan.least:.0f}" if plan.least else "drawn: no trace")
    if plan.disagreement_above is not None:
        above = f"where the reward models disagree by more than {plan.disagreement_above:.3g}"
        say(f"drawn: one trace in {1 / plan.disputed:.0f} {above}")
    say(f"budget: {found.daily_budget} items a day")


@review.command("refusals")
def review_refusals(file: Annotated[Path, typer.Argument(help="The JSON Lines file to write.")]) -> None:
    """Write the answers that people judged for refusals, as a refusal model learns from them."""
    from monitor.postgres.refusal_rows import PostgresRefusalRows

    with open_database() as (engine, _):
        written = PostgresRefusalRows(engine).export(file)
    say(f"{file}: {written.rows} answers, sha256 {written.sha256}")


@review.command("gold")
def review_gold(
    trace_id: Annotated[str, typer.Argument(help="The trace whose verdict is known.")],
    value: Annotated[float, typer.Argument(min=0, max=1, help="1: its answer is better; 0: its reference is.")],
    *,
    kind: Annotated[str, typer.Option("--kind", help="Of the label.")] = PREFERENCE,
) -> None:
    """Show a trace whose verdict is known to annotators, who are compared with it and not told."""
    with open_desk() as desk:
        item_id = desk.make_gold(trace_id, kind, value)
    say(f"item {item_id} is gold: its {kind} is {value:g}")


@review.command("export")
def review_export(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    *,
    tool: Format,
    every: Annotated[bool, typer.Option("--all/--open", help="All items, or those that want an answer.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_EXPORTED, help="Items at most.")] = 1000,
) -> None:
    """Write items to a file in which people judge them elsewhere: blind there too."""
    from monitor.review.formats import FORMATS

    with open_desk() as desk:
        items = desk.review_items(every=every, limit=limit)
    if not items:
        raise NotFound("there is no item to export: `review status` tells how many wait")
    try:
        with file.open("xb") as out:
            out.writelines(FORMATS[tool].write(items))
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be written: {error.strerror}") from None
    say(f"{file}: {len(items)} items, with criteria {items[0].criteria_version}")


@review.command("import")
def review_import(
    file: Annotated[Path, typer.Argument(help="What the other tool has exported, or the lines with their answers.")],
    *,
    tool: Format,
) -> None:
    """Take the answers out of a file; what was taken before changes nothing. Exit 1 where any was refused."""
    from monitor.review.exchange import Taken
    from monitor.review.formats import FORMATS

    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from None
    answers = FORMATS[tool].read(content)
    with open_desk() as desk:
        done = desk.take_answers(answers)
    for reason in done.refusals:
        complain(f"{file}: {reason}")
    say(f"answers: {', '.join(f'{done.outcomes[outcome]} {outcome}' for outcome in Taken)}")
    if done.outcomes[Taken.REFUSED]:
        raise typer.Exit(1)


@criteria.command("list")
def criteria_list(as_json: AsJson = False) -> None:
    """Show every version; the one in force is marked."""
    with open_desk() as desk:
        versions = desk.criteria()
    if as_json:
        show_json([asdict(known) for known in versions])
        return
    for known in versions:
        in_force = ", in force" if known.in_force else ""
        said = f"{len(known.text)} characters, by {known.created_by} on {plain(known.created_at)}{in_force}"
        say(f"{known.version}: {said}")


@criteria.command("show")
def criteria_show(version: Version) -> None:
    """Show what a version says."""
    with open_desk() as desk:
        found = [known for known in desk.criteria() if known.version == version]
    if not found:
        raise NotFound(f"criteria {version}: no such version; `review criteria list` shows them")
    for line in found[0].text.splitlines():
        say(line)


@criteria.command("add")
def criteria_add(version: Version, file: Annotated[Path, typer.Argument(help="A text, as annotators see it.")]) -> None:
    """Keep a new version; `activate` puts it in force."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: cannot be read as UTF-8: {error}") from None
    if not version.strip() or len(version) > MAX_VERSION_CHARACTERS:
        raise InvalidInput(f"the version's name has 1 to {MAX_VERSION_CHARACTERS} characters")
    if not text.strip() or len(text) > MAX_CRITERIA_CHARACTERS:
        raise InvalidInput(f"{file}: {len(text)} characters; wanted 1 to {MAX_CRITERIA_CHARACTERS}")
    with open_desk() as desk:
        desk.add_criteria(Criteria(version, text))
    say(f"criteria {version} are kept; `review criteria activate` puts them in force")


@criteria.command("activate")
def criteria_activate(version: Version) -> None:
    """Put a version in force: annotators see it from their next items on."""
    with open_desk() as desk:
        desk.activate_criteria(version)
    say(f"criteria {version} are in force")
