"""`baseline`, `drift`, `alarms`, `jobs`, `gate`: what an operator sees and decides."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.alarm import AlarmNumber, AsJson, Rows, alarms, find_alarm
from monitor.cli.baseline_table import baseline_table, law_change_table, preview_lines
from monitor.cli.database import open_database
from monitor.cli.explanation import explanation_lines, law_lines, law_table
from monitor.cli.open_desk import open_desk
from monitor.cli.table import anchor_line, correlation_table, job_table, moved_table, plan_table, stream_table
from monitor.cli.terminal import MAX_NUMBER, plain, say, show_json, show_table
from monitor.domain.baseline import BaselineQuery, TraceWindow
from monitor.domain.job import Action, Job
from monitor.domain.order import JobOrder
from monitor.errors import NotFound

baseline = typer.Typer(help="The frozen baseline.", no_args_is_help=True)
drift = typer.Typer(help="How far each stream has moved from its baseline.", no_args_is_help=True)
jobs = typer.Typer(help="Retraining jobs.", no_args_is_help=True)
gate = typer.Typer(help="The gate before a promotion.", no_args_is_help=True)
JobNumber = Annotated[int, typer.Argument(min=1, max=MAX_NUMBER, help="Its number in `jobs list`.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit table.")]


@baseline.command("show")
def baseline_show(as_json: AsJson = False) -> None:
    """Show which traces the active baseline was made from, and what it expects of each signal."""
    with open_desk() as desk:
        summary, laws = desk.baseline(), desk.laws()
    if summary is None:
        say("no baseline is frozen yet: `baseline freeze` makes one")
        raise typer.Exit(1)
    if as_json:
        show_json(asdict(summary) | {"laws": None if laws is None else asdict(laws)})
        return
    for name, value in asdict(summary).items():
        say(f"{name}: {plain(value)}")
    if laws is not None:
        show_table(law_table(laws.signals))
        for line in law_lines(laws.signals, laws.kinds):
            say(line)


@baseline.command("freeze")
def baseline_freeze(
    last: Annotated[int | None, typer.Option("--last", min=1, help="The last N traces.")] = None,
    *,
    first_index: Annotated[int | None, typer.Option("--first", min=0, help="Index of the first trace.")] = None,
    stop_index: Annotated[int | None, typer.Option("--stop", min=1, help="Index after the last trace.")] = None,
    note: Annotated[str, typer.Option("--note", help="Why this window.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Show what would change, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Freeze a new baseline from a window of traces; alarms against the old one are superseded."""
    window = TraceWindow(last, first_index, stop_index)
    with open_desk() as desk:
        if preview:
            seen = desk.preview(window)
        else:
            made = desk.freeze(window, note=note)
    if preview and as_json:
        show_json(asdict(seen))
    elif preview:
        show_table(law_change_table(seen.laws))
        for line in preview_lines(seen):
            say(line)
    elif as_json:
        show_json(asdict(made))
    else:
        last_trace = made.first_trace + made.traces - 1
        say(f"baseline {made.baseline_id} is frozen from the traces {made.first_trace} to {last_trace}")


@baseline.command("list")
def baseline_list(
    limit: Rows = 20,
    *,
    signal: Annotated[str | None, typer.Option("--signal", help="Only those with a law of it.")] = None,
    policy_model: Annotated[
        str | None, typer.Option("--policy-model", help="Only those with a law of it; *: of any other.")
    ] = None,
    cohort: Annotated[str | None, typer.Option("--cohort", help="Only those with a law of it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the baselines there were, newest first; one law of each is of all that is named."""
    wanted = BaselineQuery(signal, policy_model, cohort)
    with open_desk() as desk:
        found = desk.baselines(wanted, limit=limit)
    if as_json:
        show_json([asdict(row) for row in found])
    elif not found:
        nothing = "no baseline is frozen yet: `baseline freeze` makes one"
        say(nothing if wanted.is_open else "no baseline has such a law")
    else:
        show_table(baseline_table(found))


@drift.command("status")
def drift_status(as_json: AsJson = False) -> None:
    """Show every stream beside its baseline, most evidence first."""
    with open_desk() as desk:
        statuses = sorted(desk.streams(), key=lambda status: -status.evidence_log)
        anchor, unwatched, together = desk.anchor(), desk.unwatched(), desk.correlations()
    if as_json:
        show_json([asdict(status) for status in statuses])
        return
    if not statuses:
        say("no stream is followed yet: `baseline freeze` starts them")
    else:
        show_table(stream_table(statuses))
    if not all(status.is_steady for status in statuses):
        say("unsteady: the baseline's own window moved too much for an alert; such a stream raises warnings alone")
    if together:
        show_table(correlation_table(together))
    if unwatched.cohorts:
        say(f"not watched, since the baseline has too few traces of them: {', '.join(unwatched.cohorts)}")
    if unwatched.scorers:
        named = ", ".join(f"{signal} by {scorer}" for signal, scorer in unwatched.scorers)
        say(f"not watched yet, since the baseline was frozen without them: {named}")
    if anchor is not None:
        say(anchor_line(anchor))


@drift.command("correlations")
def drift_correlations(as_json: AsJson = False) -> None:
    """Show how the reward goes with length and format: the signs of a policy that games its reward model."""
    with open_desk() as desk:
        rows = desk.correlations()
    if as_json:
        show_json([asdict(row) for row in rows])
    elif not rows:
        say("nothing to compare: no trace has a reward yet, or too few have")
    else:
        show_table(correlation_table(rows))


@drift.command("moved")
def drift_moved(
    day: Annotated[
        datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="In UTC; the last one by default.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show which streams moved on a day, most evidence first."""
    with open_desk() as desk:
        told = desk.moved(None if day is None else day.date())
    if as_json:
        show_json(None if told is None else asdict(told))
    elif told is None:
        say("nothing was watched yet: `baseline freeze` starts it")
    else:
        if told.moved:
            show_table(moved_table(told.moved))
        say(
            f"{told.day}: {len(told.moved)} of {told.streams} streams moved; of those told of on a day, "
            f"at most {told.false_share:.0%} have not, in the mean over days"
        )


@drift.command("report")
def drift_report(
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    alarm_id: Annotated[
        int | None, typer.Option("--alarm", help="Compare with what came since this alarm began.")
    ] = None,
) -> None:
    """Write what the alarms say, above Evidently's tables of the baseline's traces against the current ones."""
    from monitor.app.explaining import told_alarms
    from monitor.app.signals import signals_of
    from monitor.drift.report import MAX_ROWS, observation_frame, write_report
    from monitor.postgres.streams import PostgresFoldStore
    from monitor.postgres.views.streams import PostgresStreams

    with open_database() as (engine, settings):
        signals = signals_of(settings)
        store, summary = PostgresFoldStore(engine), PostgresStreams(engine).baseline()
        if summary is None:
            raise NotFound(
                "no baseline is frozen yet, so there is nothing to compare with: `baseline freeze` makes one"
            )
        start = summary.stop_place if alarm_id is None else find_alarm(engine, alarm_id).alarm.onset_place
        stop = store.place_entries().next_place
        start = max(start, stop - MAX_ROWS)  # the report keeps no more, so no more is read
        first = max(summary.first_place, summary.stop_place - MAX_ROWS)
        before, after, since, until = store.trace_numbers((first, summary.stop_place, start, stop))
        compared = f"traces {before} to {after - 1} against {since} to {until - 1}"
        write_report(
            out,
            baseline=observation_frame(store.window(first, summary.stop_place), signals),
            current=observation_frame(store.window(start, stop), signals),
            told=told_alarms(engine, settings, alarm_id),
            about=f"Baseline {summary.baseline_id} and what came since: {compared}.",
        )
    say(f"{out}: {compared}")


@alarms.command("explain")
def alarms_explain(alarm_id: AlarmNumber, as_json: AsJson = False) -> None:
    """Make an alarm again from the log: what decided, what it had to exceed, and who contributed."""
    with open_desk() as desk:
        told = desk.explanation(alarm_id)
    if told is None:
        raise NotFound(f"there is no alarm {alarm_id}: `alarms list` shows them")
    if as_json:
        show_json(asdict(told))
        return
    for line in explanation_lines(told):
        say(line)


@jobs.command("list")
def jobs_list(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Rows at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show jobs, newest first."""
    with open_desk() as desk:
        found = desk.jobs(limit=limit)
    if as_json:
        show_json([asdict(job) for job in found])
        return
    if not found:
        say("no job")
    else:
        show_table(job_table(found))


@jobs.command("show")
def jobs_show(job_id: JobNumber) -> None:
    """Show one job with its history, its verdict and its bake window, as JSON."""
    with open_desk() as desk:
        found = desk.job(job_id)
    if found is None:
        raise NotFound(f"there is no job {job_id}: `jobs list` shows them")
    following = {"bake": found.bake, "shadow": found.shadow}
    told = {name: None if what is None else asdict(what) for name, what in following.items()}
    show_json(asdict(found.detail) | told)


@jobs.command("plan")
def jobs_plan(as_json: AsJson = False) -> None:
    """Show what each rule and the calendar would start now, and what holds them."""
    with open_desk() as desk:
        planned = desk.plan()
    if as_json:
        show_json([asdict(one) for one in planned])
    elif not planned:
        say("nothing starts a job by itself: retrain.rules, retrain.periodic and retrain.refresh_cron are empty")
    else:
        show_table(plan_table(planned))


@jobs.command("start")
def jobs_start(
    action: Annotated[Action, typer.Argument()],
    reason: Reason,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Although annotators disagree or have changed, or the budget is spent.")
    ] = False,
) -> None:
    """Queue a job by hand."""
    with open_desk() as desk:
        _tell(desk.start_job(action, reason, force=force))


def _order(order: JobOrder, help_text: str) -> None:
    @jobs.command(order.value, help=help_text)
    def _(job_id: JobNumber) -> None:
        with open_desk() as desk:
            _tell(desk.move_job(job_id, order))


_order(JobOrder.APPROVE, "Let a waiting job start, or a passed candidate be promoted.")
_order(JobOrder.REJECT, "Refuse a waiting job or a passed candidate.")
_order(JobOrder.CANCEL, "Stop a live job.")
_order(JobOrder.ROLLBACK, "Put back the model that was champion before this job's.")
_order(JobOrder.KEEP, "Keep what this job promoted: its bake window ends.")


@gate.command("override")
def gate_override(job_id: JobNumber, reason: Reason) -> None:
    """Promote a candidate that failed the gate; the reason is kept in the audit table."""
    with open_desk() as desk:
        _tell(desk.override(job_id, reason))


def _tell(job: Job) -> None:
    say(f"job {job.job_id} ({job.action}) is {job.state}")
