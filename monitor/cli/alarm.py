"""`alarms`, `incidents`: what was found, and what people say to it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.open_desk import open_desk
from monitor.cli.table import alarm_lines, incident_lines, incident_table, stored_alarm_table
from monitor.cli.terminal import MAX_NUMBER, say, show_json, show_table
from monitor.domain.alarm import AlarmState
from monitor.domain.order import AlarmOrder
from monitor.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from monitor.domain.alarm import StoredAlarm

alarms = typer.Typer(help="What has drifted, stream by stream.", no_args_is_help=True)
incidents = typer.Typer(help="Alarms of one cause; each pages once.", no_args_is_help=True)
AlarmNumber = Annotated[int, typer.Argument(min=1, max=MAX_NUMBER, help="Its number in `alarms list`.")]
IncidentNumber = Annotated[int, typer.Argument(min=1, max=MAX_NUMBER, help="Its number in `incidents list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
InState = Annotated[AlarmState | None, typer.Option("--state", help="Only those in this state.")]
Rows = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Rows at most.")]
Hours = Annotated[
    float, typer.Option("--hours", min=0.02, max=720, help="For how long; what is still there then is open again.")
]
Note = Annotated[str, typer.Option("--note", help="Why, for whoever reads the alarm's history.")]


@alarms.command("list")
def alarms_list(state: InState = None, *, limit: Rows = 50, as_json: AsJson = False) -> None:
    """Show alarms, newest first."""
    with open_desk() as desk:
        found = desk.alarms(state=state, limit=limit)
    if as_json:
        show_json([asdict(alarm) for alarm in found])
    elif not found:
        say("no alarm")
    else:
        show_table(stored_alarm_table(found))


@alarms.command("show")
def alarms_show(alarm_id: AlarmNumber, as_json: AsJson = False) -> None:
    """Show one alarm: what was found, what explains it, and what was found out since."""
    with open_desk() as desk:
        stored = desk.alarm(alarm_id)
    if stored is None:
        raise NotFound(f"there is no alarm {alarm_id}: `alarms list` shows them")
    if as_json:
        show_json(asdict(stored))
        return
    for line in alarm_lines(stored):
        say(line)


@alarms.command("ack")
def alarms_ack(alarm_id: AlarmNumber, *, note: Note = "") -> None:
    """Mark an alarm as seen."""
    order_alarm(alarm_id, AlarmOrder.ACKNOWLEDGE, note=note)


@alarms.command("snooze")
def alarms_snooze(alarm_id: AlarmNumber, hours: Hours, *, note: Note = "") -> None:
    """Let an alarm tell nobody for a while."""
    order_alarm(alarm_id, AlarmOrder.SNOOZE, hours=hours, note=note)


@alarms.command("reopen")
def alarms_reopen(alarm_id: AlarmNumber, *, note: Note = "") -> None:
    """Open an alarm again that was acknowledged or snoozed."""
    order_alarm(alarm_id, AlarmOrder.REOPEN, note=note)


@alarms.command("reask")
def alarms_reask(alarm_id: AlarmNumber) -> None:
    """Let the leader ask the released policy an alarm's prompts again, or more of them."""
    with open_desk() as desk:
        most = desk.reask(alarm_id)
    say(f"alarm {alarm_id}: up to {most} more prompts are asked; `alarms show` tells the verdict")


@incidents.command("list")
def incidents_list(state: InState = None, *, limit: Rows = 50, as_json: AsJson = False) -> None:
    """Show incidents, newest first."""
    with open_desk() as desk:
        found = desk.incidents(state=state, limit=limit)
    if as_json:
        show_json([asdict(incident) for incident in found])
    elif not found:
        say("no incident")
    else:
        show_table(incident_table(found))


@incidents.command("show")
def incidents_show(incident_id: IncidentNumber, as_json: AsJson = False) -> None:
    """Show one incident with its likely causes and its alarms."""
    with open_desk() as desk:
        found = desk.incident(incident_id)
    if found is None:
        raise NotFound(f"there is no incident {incident_id}: `incidents list` shows them")
    if as_json:
        show_json(asdict(found))
        return
    for line in incident_lines(found.incident):
        say(line)
    show_table(stored_alarm_table(found.alarms))


@incidents.command("ack")
def incidents_ack(incident_id: IncidentNumber) -> None:
    """Mark an incident as seen, and all its alarms."""
    order_incident(incident_id, AlarmOrder.ACKNOWLEDGE)


@incidents.command("snooze")
def incidents_snooze(incident_id: IncidentNumber, hours: Hours) -> None:
    """Let an incident page nobody, and start no job, for a while."""
    order_incident(incident_id, AlarmOrder.SNOOZE, hours=hours)


@incidents.command("reopen")
def incidents_reopen(incident_id: IncidentNumber) -> None:
    """Open an incident again that was acknowledged or snoozed."""
    order_incident(incident_id, AlarmOrder.REOPEN)


def find_alarm(engine: Engine, alarm_id: int) -> StoredAlarm:
    from monitor.postgres.alarms import PostgresAlarms

    stored = PostgresAlarms(engine).alarm(alarm_id)
    if stored is None:
        raise NotFound(f"there is no alarm {alarm_id}: `alarms list` shows them")
    return stored


def order_alarm(alarm_id: int, order: AlarmOrder, *, hours: float = 0.0, note: str = "") -> None:
    with open_desk() as desk:
        stored = desk.order_alarm(alarm_id, order, snooze=timedelta(hours=hours), note=note)
    say(f"alarm {stored.alarm_id} is {stored.state}")


def order_incident(incident_id: int, order: AlarmOrder, *, hours: float = 0.0) -> None:
    with open_desk() as desk:
        found = desk.order_incident(incident_id, order, snooze=timedelta(hours=hours))
    say(f"incident {incident_id} is {found.incident.facts.state}, with its {len(found.alarms)} alarms")
