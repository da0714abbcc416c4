"""`dead-letters`: what could not be read, and the way back for what can be read now."""

from __future__ import annotations

import heapq
import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.alarm import AsJson
from monitor.cli.database import open_database, operator
from monitor.cli.letter import HELD, letter_lines, letter_row, letter_table, time_of
from monitor.cli.server import refuse_remote
from monitor.cli.terminal import hand_out, say, show_json, show_table
from monitor.errors import InvalidInput, NotFound, Unavailable
from monitor.ingest.letter import Letter, LetterFilter, ReplayPlan, place_of
from monitor.settings.load import load_settings
from monitor.settings.root import Settings

if TYPE_CHECKING:
    from monitor.ingest.kafka_letters import KafkaLetters

MAX_REPLAYED = 1_000_000  # whose places are kept in memory

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
    reasons: Counter[str] = Counter()
    newest: list[tuple[int, int, int, Letter]] = []
    with _opened() as (letters, _):
        for letter in letters.read(wanted.since):
            if wanted.admits(letter):
                reasons[letter.reason] += 1
                item = (letter.written_ms, letter.place.partition, letter.place.offset, letter)
                (heapq.heappushpop if len(newest) == limit else heapq.heappush)(newest, item)
        foreign = letters.foreign
    shown = [item[-1] for item in sorted(newest, key=lambda item: item[:3], reverse=True)]
    if as_json:
        show_json([letter_row(letter) for letter in shown])
        return
    if shown:
        show_table(letter_table(shown))
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    say(f"{len(shown)} of {reasons.total()} letters{': ' if told else ''}{told}")
    if foreign:
        say(f"{foreign} records of the topic are no letters of this program, and are passed over")


@dead_letters.command("show")
def letters_show(
    place: Annotated[str, typer.Argument(help="The letter's place in `dead-letters list`: topic:partition:offset.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the record's bytes alone, as they are.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the record's bytes to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter: what was wrong, where its record stood, and the record itself."""
    wanted = place_of(place)
    with _opened() as (letters, _):
        letter = next(letters.at([wanted]))
    if out is not None:
        try:
            out.write_bytes(letter.value)
        except OSError as error:
            raise InvalidInput(f"--out {out}: {error.strerror}; wanted a file that can be written") from None
        say(f"{out}: {len(letter.value)} bytes")
    elif raw:
        hand_out(letter.value)
    elif as_json:
        headers = [[name, value.decode(errors="backslashreplace")] for name, value in letter.headers]
        show_json(letter_row(letter) | {"headers": headers, "value_base64": b64encode(letter.value).decode()})
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
    from monitor.ingest.kafka_letters import KafkaReplay
    from monitor.ingest.route import routes_of
    from monitor.postgres.audit import PostgresAudit
    from monitor.postgres.engine import transaction
    from monitor.retraining.records import Author

    wanted = _filter(reason, topic, since, until, places=places or ())
    with _opened() as (letters, settings):
        plan = ReplayPlan(wanted, {route.topic for route in routes_of(settings.kafka)})
        for letter in letters.read(wanted.since):
            plan.add(letter)
            if len(plan) > MAX_REPLAYED:
                raise InvalidInput(f"more than {MAX_REPLAYED:,} letters: narrow them with --since")
        chosen = plan.chosen(limit)
        for flaw, count in plan.held.items():
            if count:
                say(f"held back: {count} letters that {HELD[flaw]}")
        if not chosen:
            raise NotFound("no letter to replay")
        counts = Counter(letter.source.topic for letter in letters.at(chosen))
        told = ", ".join(f"{count} to {name}" for name, count in sorted(counts.items()))
        if dry_run:
            say(f"would write {len(chosen)} records: {told}")
            return
        if not yes and not typer.confirm(f"Write {len(chosen)} records: {told}?"):
            raise typer.Exit(1)
        actor = operator()
        with open_database() as (engine, _), transaction(engine) as connection:
            by = Author(actor.name, actor.role)  # of a row that stands before anything is written to Kafka
            detail = {"records": dict(counts), "filter": wanted.told(), "limit": limit}
            PostgresAudit(connection).record("dead_letters.replay", letters.topic, by=by, detail=detail)
        with closing(KafkaReplay(settings.kafka)) as replay:
            try:
                replay.write(letters.at(chosen))
            except Unavailable as error:
                raise Unavailable(
                    f"{error}; {replay.written} of {len(chosen)} records are written. Replay them again: what counts"
                    " already counts once"
                ) from error
        say(f"{replay.written} records are written: {told}")


@contextmanager
def _opened() -> Iterator[tuple[KafkaLetters, Settings]]:
    from monitor.ingest.kafka_letters import KafkaLetters

    refuse_remote("this command reads the topic of dead letters")
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # the error that comes out tells it all
    settings = load_settings()
    with closing(KafkaLetters(settings.kafka)) as letters:
        yield letters, settings


def _filter(
    reason: str | None, topic: str | None, since: str | None, until: str | None, *, places: Sequence[str] = ()
) -> LetterFilter:
    now = datetime.now(UTC)
    named = frozenset(map(place_of, places))
    begin, end = time_of(since, "--since", now), time_of(until, "--until", now)
    return LetterFilter(reason=reason, topic=topic, since=begin, until=end, places=named)
