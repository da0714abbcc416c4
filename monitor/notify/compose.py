"""What a notice says, in plain words; no prompt and no answer is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.domain.alarm import AlarmKind, Severity
from monitor.domain.incident import Cause, Incident
from monitor.domain.text import visible
from monitor.notify.decide import Say
from monitor.notify.notice import Event, Notice, Standing, Told

MAX_LISTED = 20  # incidents of a storm that are named
MAX_TITLE_CHARACTERS = 200
MAX_LINE_CHARACTERS = 600
MAX_CAUSES = 2
RUNBOOKS, FAILS = "dashboards/runbooks", "RlhfMonitorNotificationsFail"
_SILENCES = {AlarmKind.NO_DATA, AlarmKind.SCORER_SILENT, AlarmKind.PRODUCER_STALLED}


@dataclass(frozen=True, slots=True)
class Composer:
    """Makes notices; *sentence* says an incident's leading alarm in one sentence, None where it has none."""

    sentence: Callable[[int], str | None]
    console: str | None  # where people reach it
    runbooks: str | None  # where they reach the runbooks

    def notice(self, say: Say, now: datetime) -> Notice:
        """Return the message that *say* decides, the next of its row."""
        if say.subject.receiver is not None:
            return self._on_receiver(say, say.subject.receiver, now)
        subject, incidents = say.subject, say.subject.incidents
        one = incidents[0] if len(incidents) == 1 else None
        lines = self._lines_of(one) if one is not None else [line_of(each) for each in incidents[:MAX_LISTED]]
        if len(incidents) > MAX_LISTED:
            lines.append(f"and {len(incidents) - MAX_LISTED} more: `rlhf-monitor incidents list`")
        return Notice(
            subject=subject.name,
            key=say.key,
            sequence=say.row.sequence + 1,
            event=say.event,
            told=say.told,
            state=one.facts.state if one is not None else say.told.standing,
            title=cut(f"{heading_of(say, one, now)}: {what_of(incidents)}", MAX_TITLE_CHARACTERS),
            lines=tuple(cut(line, MAX_LINE_CHARACTERS) for line in lines),
            link=self._link(one),
            runbook=f"{(self.runbooks or RUNBOOKS).rstrip('/')}/{runbook_of(incidents[0])}.md",
            at=now,
            incidents=tuple(each.incident_id for each in incidents),
        )

    def _on_receiver(self, say: Say, receiver: str, now: datetime) -> Notice:
        failing, loud = say.subject.failing, "ALERT" if say.told.severity == Severity.ALERT else "warning"
        if failing is None:
            title = f"[over] {receiver} takes messages again, or nothing waits for it any more"
            lines = ["`rlhf-monitor notify status` says which; `rlhf-monitor notify test` tries it"]
        else:
            title = f"[{loud}] {receiver} takes no messages of rlhf-monitor"
            waits = f"{failing.waiting} {'message waits' if failing.waiting == 1 else 'messages wait'} for it"
            lines = [
                f"{waits} since {failing.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {failing.error}",
                "what it was not told: `rlhf-monitor incidents list`",
            ]
        return Notice(
            subject=say.subject.name,
            key=say.key,
            sequence=say.row.sequence + 1,
            event=say.event,
            told=say.told,
            state="failing" if failing is not None else "over",
            title=cut(title, MAX_TITLE_CHARACTERS),
            lines=tuple(cut(visible(line), MAX_LINE_CHARACTERS) for line in lines),
            link=self._link(None),
            runbook=f"{(self.runbooks or RUNBOOKS).rstrip('/')}/{FAILS}.md",
            at=now,
            incidents=(),
        )

    def test(self, now: datetime) -> Notice:
        """Return a message by which people see that a receiver is reached."""
        return Notice(
            subject="test",
            key=f"rlhf-monitor-test-{int(now.timestamp() * 1e6):x}",
            sequence=1,
            event=Event.TEST,
            told=Told(Standing.LOUD, Severity.WARNING, "", 1),
            state="test",
            title="test message of rlhf-monitor: nothing has happened",
            lines=("somebody asked by `rlhf-monitor notify test` whether this receiver is reached",),
            link=self._link(None),
            runbook=f"{(self.runbooks or RUNBOOKS).rstrip('/')}/{FAILS}.md",
            at=now,
            incidents=(),
        )

    def _link(self, one: Incident | None) -> str | None:
        if self.console is None:
            return None
        return f"{self.console.rstrip('/')}/" + ("" if one is None else f"incidents/{one.incident_id}")

    def _lines_of(self, incident: Incident) -> list[str]:
        facts, sentence = incident.facts, self.sentence(incident.incident_id)
        lines = [] if sentence is None else [visible(sentence)]
        lines.append(f"{facts.members} {'alarm' if facts.members == 1 else 'alarms'} of one cause, {facts.severity}")
        for cause in facts.causes[:MAX_CAUSES]:
            if cause.cause is not Cause.UNKNOWN:
                lines.append(visible(f"{cause.likelihood} cause: {cause.cause.replace('_', ' ')}, {cause.because}"))
        if facts.recovered_at is not None:
            lines.append(f"recovered at {facts.recovered_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        return lines


def heading_of(say: Say, one: Incident | None, now: datetime) -> str:
    what = f"incident {one.incident_id}" if one is not None else f"{len(say.subject.incidents)} incidents"
    loud = "ALERT" if say.told.severity == Severity.ALERT else "warning"
    if say.told.standing is Standing.OVER:
        ended = one is None or not one.facts.state.is_live
        return f"[{'over' if ended else 'less severe'}] {what}"
    if say.told.standing is Standing.QUIET:
        by = f" by {visible(one.facts.acknowledged_by)}" if one is not None and one.facts.acknowledged_by else ""
        state = one.facts.state if one is not None else "acknowledged"
        return f"[{state}{by}] {what}"
    if say.event is Event.REMINDED and one is not None:
        hours = (now - one.created_at).total_seconds() / 3600
        return f"[{loud}, open for {hours:.1f} h] {what}"
    return f"[{loud}] {what}"


def what_of(incidents: tuple[Incident, ...]) -> str:
    if len(incidents) == 1:
        return visible(incidents[0].facts.summary)
    live = sum(each.facts.state.is_live for each in incidents)
    return f"{live} of them are not over"


def line_of(incident: Incident) -> str:
    facts = incident.facts
    since = f"{facts.onset_timestamp.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return visible(f"incident {incident.incident_id} ({facts.severity}, {facts.state}), since {since}: {facts.summary}")


def runbook_of(incident: Incident) -> str:
    if incident.facts.kind in _SILENCES and incident.facts.severity is Severity.ALERT:
        return "RlhfMonitorSilence"
    return "RlhfMonitorDriftAlarm" if incident.facts.severity is Severity.ALERT else "RlhfMonitorIncidentWarning"


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
