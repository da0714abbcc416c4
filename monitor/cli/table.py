"""Tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from math import log
from typing import TYPE_CHECKING

from rich.table import Table

from monitor.cli.terminal import cell
from monitor.domain.alarm import Alarm, AlarmKind, Decomposition, Effect, StoredAlarm, shown_change
from monitor.domain.anchor import AnchorStatus
from monitor.domain.incident import Incident
from monitor.domain.job import Hold, Job, JobState, PlannedStart, RunProgress
from monitor.domain.release import Announcement
from monitor.domain.stream import StreamStatus
from monitor.notify.notice import ReceiverStatus
from monitor.runs.model import RegisteredModel
from monitor.signals.input_shift import INPUT_SHIFT

if TYPE_CHECKING:
    from monitor.drift.correlation import RewardCorrelation
    from monitor.drift.daily import Moved  # brings scipy, which takes seconds to import
    from monitor.labels.card import StoredSet

MAX_PROGRESS_CHARACTERS = 90


def stream_table(statuses: Iterable[StreamStatus]) -> Table:
    columns = ("signal", "cohort", "policy model", "scorer", "observations", "mean", "baseline", "evidence", "last")
    table = Table(*columns)
    for status in statuses:
        pages = status.is_steady and status.key.signal != INPUT_SHIFT.name
        mark = (" ALARM" if pages else " warning") if status.evidence_log >= 1 else ""
        mark += "" if status.is_steady else " unsteady"
        _add(
            table,
            status.key.signal,
            status.key.cohort,
            status.key.policy_model,
            status.key.scorer_version,
            str(status.observations),
            f"{status.mean:.4g} {status.unit}",
            f"{status.baseline_mean:.4g} [{status.baseline_lower:.4g}, {status.baseline_upper:.4g}]",
            f"{max(status.evidence_log, 0.0):.2f}{mark}",
            moment(status.last_timestamp),
        )
    return table


def correlation_table(rows: Iterable[RewardCorrelation]) -> Table:
    table = Table("the reward goes with", "policy model", "scorer", "baseline", "current", "traces", "")
    for row in rows:
        shown = [
            "-" if told is None else f"{told.estimate:+.2f} [{told.lower:+.2f}, {told.upper:+.2f}]"
            for told in (row.baseline, row.current)
        ]
        traces = "0" if row.current is None else str(row.current.pairs)
        _add(table, row.signal, row.policy_model, row.scorer_version, *shown, traces, "moved" if row.has_moved else "")
    return table


def moved_table(moved: Iterable[Moved]) -> Table:
    table = Table("signal", "cohort", "policy model", "scorer", "direction", "observations", "evidence", "told of")
    for row in moved:
        evidence, key = row.evidence, row.evidence.stream
        names = (key.signal, key.cohort, key.policy_model, key.scorer_version)
        odds = f"10^{evidence.log_e / log(10.0):.1f} to 1"
        among = " and ".join(["on the day"] * row.on_the_day + ["over all days"] * row.over_days)
        _add(table, *names, evidence.direction.value, str(evidence.observations), odds, among)
    return table


def stored_alarm_table(alarms: Iterable[StoredAlarm]) -> Table:
    table = Table(
        "id", "incident", "state", "severity", "signal", "cohort", "policy model", "direction", "since", "effect"
    )
    for stored in alarms:
        alarm = stored.alarm
        _add(
            table,
            str(stored.alarm_id),
            "-" if stored.incident_id is None else str(stored.incident_id),
            stored.state.value,
            alarm.severity.value,
            alarm.stream.signal if alarm.kind is AlarmKind.DRIFT else alarm.kind.value,
            alarm.stream.cohort,
            alarm.stream.policy_model,
            "-" if alarm.direction is None else alarm.direction.value,
            moment(alarm.onset_timestamp),
            effect_text(alarm.effect),
        )
    return table


def incident_table(incidents: Iterable[Incident]) -> Table:
    table = Table("id", "state", "severity", "what", "alarms", "since", "likely cause")
    for incident in incidents:
        facts = incident.facts
        _add(
            table,
            str(incident.incident_id),
            facts.state.value,
            facts.severity.value,
            facts.summary,
            str(facts.members),
            moment(facts.onset_timestamp),
            facts.causes[0].cause.value if facts.causes else "-",
        )
    return table


def incident_lines(incident: Incident) -> Iterator[str]:
    """Yield what there is to say of one incident, its alarms aside."""
    facts = incident.facts
    yield f"incident {incident.incident_id} ({facts.state}, {facts.severity}): {facts.summary}"
    yield f"began about {moment(facts.onset_timestamp)}, told at {moment(facts.paged_at or facts.opened_at)}"
    for cause in facts.causes:
        yield f"{cause.likelihood} cause: {cause.cause}: {cause.because}"
    if facts.acknowledged_by is not None:
        yield f"acknowledged by {facts.acknowledged_by}"
    if facts.snoozed_until is not None:
        yield f"snoozed until {moment(facts.snoozed_until)}"
    if facts.recovered_at is not None:
        yield f"recovered: {moment(facts.recovered_at)}"


def alarm_lines(stored: StoredAlarm) -> Iterator[str]:
    """Yield what there is to say of one alarm, from what is stored of it."""
    alarm, stream = stored.alarm, stored.alarm.stream
    yield f"alarm {stored.alarm_id} of incident {stored.incident_id} ({stored.state}, {alarm.severity}): {alarm.kind}"
    if alarm.direction is not None:
        yield f"{stream.signal} of cohort {stream.cohort} under {stream.policy_model} went {alarm.direction}"
    if alarm.detail:
        yield alarm.detail
    yield f"decided at {moment(alarm.timestamp)}, began about {moment(alarm.onset_timestamp)}"
    if alarm.effect is not None:
        yield f"effect: {effect_text(alarm.effect)}"
    if alarm.decomposition is not None:
        yield f"of it: {decomposition_text(alarm.decomposition)}"
    if stored.reference_verdict is not None:
        yield f"the released policy, asked again: {stored.reference_verdict} {stored.reference_note}".rstrip()
    if stored.scorer_verdict is not None:
        yield f"the anchor set, scored again: {stored.scorer_verdict} {stored.scorer_note}".rstrip()
    if stored.snoozed_until is not None:
        yield f"snoozed until {moment(stored.snoozed_until)}"
    if stored.recovered_at is not None:
        yield f"recovered: {moment(stored.recovered_at)}"
    if alarm.examples:
        yield f"examples: {', '.join(alarm.examples)}"


def alarm_table(alarms: Iterable[Alarm]) -> Table:
    """Return the alarms of a backtest, which have no number and no state."""
    columns = ("signal", "cohort", "policy model", "direction", "severity", "at trace", "onset", "since", "effect")
    table = Table(*columns, "of it")
    for alarm in alarms:
        _add(
            table,
            alarm.stream.signal if alarm.kind is AlarmKind.DRIFT else alarm.kind.value,
            alarm.stream.cohort,
            alarm.stream.policy_model,
            "-" if alarm.direction is None else alarm.direction.value,
            alarm.severity.value,
            f"{alarm.place} ({(alarm.trace_id or '-')[:24]})",
            str(alarm.onset_place),
            moment(alarm.onset_timestamp),
            effect_text(alarm.effect),
            alarm.detail if alarm.decomposition is None else decomposition_text(alarm.decomposition),
        )
    return table


def job_table(jobs: Iterable[Job]) -> Table:
    table = Table("id", "action", "state", "attempt", "by", "reason", "progress")
    for job in jobs:
        under_way = job.progress_detail if job.state is JobState.RUNNING else None
        line = job.progress if under_way is None else progress_text(under_way)
        told = (job.error or line or "")[:MAX_PROGRESS_CHARACTERS]
        _add(table, str(job.job_id), job.action, job.state, str(job.attempt), job.requested_by, job.reason, told)
    return table


def progress_text(progress: RunProgress) -> str:
    """Return in one line how far a run has come, by what it tells of that; its own words where it tells no steps."""
    if progress.ratio is None:
        return progress.line
    told = [f"{progress.phase}, step {progress.done} of {progress.total} ({progress.ratio:.0%})"]
    if progress.loss is not None:
        told.append(f"loss {progress.loss:.4g}")
    if progress.rate is not None:
        told.append(f"{progress.rate:.3g} steps/s")
    if progress.seconds_left is not None:
        told.append(f"{timedelta(seconds=round(progress.seconds_left))} left")
    return ", ".join(told)


def plan_table(planned: Iterable[PlannedStart]) -> Table:
    table = Table("rule", "action", "now", "why", "until")
    for one in planned:
        holds = one.holds or (Hold(one.decision, one.detail, one.until),)
        for number, hold in enumerate(holds):  # a line each: all of them hold it
            named = (one.rule, one.action) if number == 0 else ("", "")
            _add(table, *named, hold.reason, hold.detail, "" if hold.until is None else moment(hold.until))
    return table


def model_table(found: Iterable[RegisteredModel]) -> Table:
    table = Table("version", "role", "is", "job", "served as", "accuracy", "registered")
    for model in found:
        accuracy = "-" if model.metrics is None else f"{model.metrics.accuracy:.1%}"
        job = "-" if model.job_id is None else str(model.job_id)
        names = model.version, model.role.value, model.state.value, job, model.served_as or "-"
        _add(table, *names, accuracy, moment(model.created_at))
    return table


def announcement_table(found: Iterable[Announcement]) -> Table:
    table = Table("id", "event", "version", "job", "at", "told by", "waits")
    for one in found:
        told = [f"{way.channel} {moment(way.delivered_at)}" for way in one.deliveries if way.delivered_at is not None]
        waits = [f"{way.channel} after {way.attempts}: {way.error}" for way in one.deliveries if way.error is not None]
        names = str(one.announcement_id), one.event, one.version, str(one.job_id), moment(one.created_at)
        _add(table, *names, ", ".join(told) or "nobody yet", "; ".join(waits))
    return table


def receiver_table(found: Iterable[ReceiverStatus]) -> Table:
    table = Table("receiver", "kind", "told of", "last told", "waiting", "for", "why")
    for one in found:
        waited = str(timedelta(seconds=round(one.waiting_seconds))) if one.waiting else "-"
        last = "-" if one.told_at is None else moment(one.told_at)
        of = "alerts" if one.severity == "alert" else "warnings and alerts"
        _add(table, one.receiver, one.kind, of, last, str(one.waiting), waited, one.error or "-")
    return table


def preference_set_table(sets: Iterable[StoredSet]) -> Table:
    table = Table("sha256", "given", "jobs", "pairs", "sources", "annotators", "by models", "agreement")
    for stored in sets:
        card = stored.card
        agreement = "" if card.raw_agreement is None else f"{card.raw_agreement:.1%}"
        sources = ", ".join(f"{name} {count}" for name, count in card.by_source.items())
        people = str(card.annotators), str(card.ai_pairs), agreement
        jobs = ", ".join(map(str, stored.jobs))
        _add(table, card.sha256[:12], moment(stored.created_at), jobs, str(card.pairs), sources, *people)
    return table


def anchor_line(anchor: AnchorStatus) -> str:
    """Say whether the scorer still scores the anchor set as at first."""
    scored = f"anchor set {anchor.name}: scored {moment(anchor.scored_at)} by {anchor.scorer_version}"
    if anchor.mean is None:
        return f"{scored}, for the first time"
    verdict = "THE SCORER HAS CHANGED, and its version has not" if anchor.moved else "the scorer stands still"
    shift = f"{anchor.mean:+.3f} sd on average, {anchor.root_mean_square:.3f} sd root mean square"
    return f"{scored}; {anchor.pairs} pairs lie {shift} from their first scores: {verdict}"


def effect_text(effect: Effect | None) -> str:
    if effect is None:
        return "-"
    scale, unit = shown_change(effect.unit)
    bounds = f"[{scale * effect.lower:+.3g}, {scale * effect.upper:+.3g}]"
    return f"{scale * effect.estimate:+.3g} {bounds} {unit}"


def decomposition_text(parts: Decomposition) -> str:
    """Return "+52 tokens: +8 prompts, +44 model"; what is lost in rounding is nothing."""
    scale, unit = shown_change(parts.unit)
    least = 1e-4 * max(abs(parts.prompts), abs(parts.model))
    raw, prompts, model = (
        scale * part if abs(part) > least else 0.0 for part in (parts.raw, parts.prompts, parts.model)
    )
    return f"{raw:+.3g} {unit}: {prompts:+.3g} prompts, {model:+.3g} model"


def moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _add(table: Table, *texts: str) -> None:
    table.add_row(*map(cell, texts))
