"""`probes`: fixed questions that the live model is asked, now or on a schedule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from monitor.cli.alarm import AsJson
from monitor.cli.open_desk import open_desk
from monitor.cli.server import chosen
from monitor.cli.table import moment
from monitor.cli.terminal import cell, complain, say, show_json, show_table
from monitor.errors import InvalidInput
from monitor.settings.load import load_settings

if TYPE_CHECKING:
    from monitor.probes.rate import Rate
    from monitor.probes.report import SuiteReport
    from monitor.probes.run import Finished
    from monitor.probes.suite import Suite
    from monitor.settings.probes import ProbeSettings
    from monitor.signals.refusal import RefusalModel

probes = typer.Typer(help="Fixed questions that the live model is asked.", no_args_is_help=True)


@probes.command("run")
def probes_run(
    *,
    suite: Annotated[list[str] | None, typer.Option("--suite", help="Only this one; repeat it.")] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="OpenAI-compatible server. [default: probes.endpoint]")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Its name there. [default: probes.model]")] = None,
    items: Annotated[int | None, typer.Option("--items", min=1, help="Of each suite, drawn. [default: all]")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every answer here, as JSON lines.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model now and show the rates; nothing is stored, and no database is needed.

    Exit code 1 where a suite was not answered in full.
    """
    from monitor.app.probes import live_model_of, suites_of
    from monitor.app.signals import refusal_model_of
    from monitor.errors import InvalidSetting
    from monitor.settings.probes import ProbeSettings

    told = load_settings()
    configured = told.probes
    settings = ProbeSettings.model_validate(
        configured.model_dump() | {"endpoint": endpoint or configured.endpoint, "model": model or configured.model}
    )
    if settings.endpoint is None:
        raise InvalidSetting("probes.endpoint is not set: name the model's server with --endpoint")
    chosen = chosen_suites(suites_of(settings), suite)
    with closing(live_model_of(settings)) as live:
        refusals = refusal_model_of(told.signals.refusal)
        ended = {name: ask_now(live, one, settings, refusals, items=items) for name, one in chosen.items()}
    if out is not None:
        write_answers(out, ended)
    if as_json:
        show_json([summary(name, finished) for name, finished in ended.items()])
    else:
        show_table(run_table(ended))
    for name, finished in ended.items():
        if finished.detail:
            complain(f"{name}: {finished.state}: {finished.detail}")
    if any(finished.state != "done" for finished in ended.values()):
        raise typer.Exit(1)


@probes.command("list")
def probes_list(*, as_json: AsJson = False) -> None:
    """Show the suites: what each holds, its last run on schedule, and its rates."""
    from dataclasses import asdict

    with open_desk() as desk:
        reports = desk.probes()
    if as_json:
        show_json([asdict(report) for report in reports])
        return
    show_table(suite_table(reports))
    if chosen() is None and load_settings().probes.endpoint is None:
        say("nothing is asked on schedule: probes.endpoint is not set")


def chosen_suites(suites: Mapping[str, Suite], names: Iterable[str] | None) -> dict[str, Suite]:
    """Return the suites of *names*, all without them."""
    for name in names or ():
        if name not in suites:
            raise InvalidInput(f"--suite {name}: no such suite; there are {', '.join(suites)}")
    return {name: suites[name] for name in names or suites}


def ask_now(live: Any, suite: Suite, settings: ProbeSettings, refusals: RefusalModel, *, items: int | None) -> Finished:
    """Ask *suite* and wait for the answers."""
    from secrets import token_hex

    from monitor.probes.asking import Flight, judge_of
    from monitor.probes.run import OpenRun, draw, finish

    drawn = draw(suite, len(suite.items) if items is None else items, seed=token_hex(8))
    flight = Flight(live, drawn, judge_of(suite, refusals), concurrency=settings.concurrency)
    flight.wait()
    policy_model = settings.policy_model or live.model or ""
    run = OpenRun(0, suite.name, suite.sha256)
    return finish(run, suite, flight.answered(), policy_model=policy_model, detail=flight.detail)


def rate_now(finished: Finished) -> Rate | None:
    from monitor.probes.rate import rate_of

    return rate_of(sum(outcome.value for outcome in finished.outcomes), len(finished.outcomes))


def summary(name: str, finished: Finished) -> dict[str, Any]:
    from dataclasses import asdict

    rate = rate_now(finished)
    return {
        "suite": name,
        "state": finished.state,
        "policy_model": finished.policy_model,
        "scorer_version": finished.scorer_version,
        "asked": len(finished.answered),
        "judged": sum(one.outcome is not None for one in finished.answered),
        "rate": None if rate is None else asdict(rate),
        "detail": finished.detail,
    }


def write_answers(out: Path, ended: Mapping[str, Finished]) -> None:
    """Write a row an item, answered or not."""
    rows = [
        {
            "suite": name,
            "id": one.item.item_id,
            "category": one.item.category,
            "twin": one.item.twin,
            "messages": [{"role": said.role, "content": said.content} for said in one.item.messages],
            "answer": one.answer,
            "outcome": one.outcome,
        }
        for name, finished in ended.items()
        for one in finished.answered
    ]
    try:
        out.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {out}: {error.strerror}") from None


def run_table(ended: Mapping[str, Finished]) -> Table:
    table = Table("suite", "state", "policy model", "asked", "judged", "rate", "95%")
    for name, finished in ended.items():
        judged = sum(one.outcome is not None for one in finished.answered)
        counts = str(len(finished.answered)), str(judged)
        table.add_row(*map(cell, (name, finished.state, finished.policy_model, *counts, *_told(rate_now(finished)))))
    return table


def suite_table(reports: Iterable[SuiteReport]) -> Table:
    table = Table("suite", "signal", "items", "sha256", "last run", "state", "rate", "95%", "of a week", "95%")
    for report in reports:
        last = report.last_run
        size = "-" if report.items is None else str(report.items)
        run = ("-", "never") if last is None else (moment(last.started_at), last.state.value)
        texts = report.suite, report.signal, size, report.sha256[:12] or "-", *run
        table.add_row(*map(cell, (*texts, *_told(report.last_rate), *_told(report.week_rate))))
    return table


def _told(rate: Rate | None) -> tuple[str, str]:
    return ("-", "-") if rate is None else (f"{rate.value:.1%}", f"[{100 * rate.lower:.1f}, {100 * rate.upper:.1f}]")
