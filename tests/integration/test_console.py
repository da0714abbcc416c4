"""What the console's first page shows, from PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from monitor.app.ports import ports_of
from monitor.domain.alarm import AlarmState
from monitor.domain.finding import Urgency
from monitor.domain.order import Actor, AlarmOrder, Role
from monitor.drift.heatmap import View
from monitor.settings.root import Settings
from monitor.web.app import Ports
from tests.benchmarks.console import SIGNALS, fill, touch

ME = Actor("me", Role.OPERATOR)
LIVE = (AlarmState.OPEN, AlarmState.ACKNOWLEDGED, AlarmState.SNOOZED)


@pytest.fixture
def ports(engine: Engine) -> Ports:
    fill(engine, cohorts=30)
    return ports_of(engine, Settings())


def test_the_heatmap_has_every_cohort_with_the_state_of_its_alarms(ports: Ports, engine: Engine) -> None:
    found = ports.heatmaps.heatmap(View(size=200))
    assert (found.cohorts, found.found, len(found.signals)) == (30, 31, len(SIGNALS))
    assert found.rows[0].cohort == "*"
    assert all(len(row.cells) == len(SIGNALS) for row in found.rows)
    alarmed = {(row.cohort, cell.signal): cell.alarm.alarm_id for row in found.rows for cell in row.cells if cell.alarm}
    with engine.connect() as connection:
        stored = connection.execute(text("select cohort, signal, alarm_id from alarm"))
        assert alarmed == {(row.cohort, row.signal): row.alarm_id for row in stored}
    assert 1 <= len(alarmed) < 60
    ranks = [row.rank for row in found.rows]
    assert ranks == sorted(ranks)


def test_the_heatmap_is_made_again_once_the_fold_or_an_alarm_has_moved(ports: Ports, engine: Engine) -> None:
    view = View(cohort="p0007")
    before = ports.heatmaps.heatmap(view)
    with engine.begin() as connection:
        connection.execute(text("update detector set evidence_log = 0.99"))
    assert ports.heatmaps.heatmap(view) == before  # the fold stores both in one transaction
    touch(engine)
    assert {cell.evidence for cell in ports.heatmaps.heatmap(view).rows[0].cells} == {0.99}
    (card, *_) = ports.boards.board(states=LIVE, limit=1).cards
    ports.incidents.order_incident(card.incident_id, AlarmOrder.ACKNOWLEDGE, actor=ME)
    states = {cell.alarm.state for row in ports.heatmaps.heatmap(View()).rows for cell in row.cells if cell.alarm}
    assert states == {AlarmState.ACKNOWLEDGED}


def test_the_board_tells_each_finding_once_with_its_further_cohorts(ports: Ports, engine: Engine) -> None:
    board = ports.boards.board(states=LIVE, limit=5)
    assert board.totals == {Urgency.ALERT: 1}
    (card,) = board.cards
    with engine.connect() as connection:
        groups = connection.execute(
            text("select signal, direction, count(distinct cohort) as cohorts from alarm group by 1, 2")
        ).all()
    told = {(found.stream.signal, found.direction): found.others + 1 for found in card.findings}
    assert told.items() <= {(row.signal, row.direction): row.cohorts for row in groups}.items()
    assert card.more_findings == len(groups) - len(card.findings)
    assert all(found.trace_number is not None for found in card.findings)
    assert ports.boards.board(states=[AlarmState.RECOVERED], limit=5).cards == ()


def test_each_part_s_version_moves_with_what_it_shows_and_with_nothing_else(ports: Ports, engine: Engine) -> None:
    before = ports.versions.versions()
    assert before == ports.versions.versions()
    touch(engine)
    folded = ports.versions.versions()
    assert changed(before, folded) == {"streams"}
    (card, *_) = ports.boards.board(states=LIVE, limit=1).cards
    ports.incidents.order_incident(card.incident_id, AlarmOrder.ACKNOWLEDGE, actor=ME)
    ordered = ports.versions.versions()
    assert changed(folded, ordered) == {"counts", "incidents", "streams"}
    with engine.begin() as connection:
        connection.execute(
            text("insert into job (action, state, reason, requested_by) values ('dpo', 'queued', 'by hand', 'me')")
        )
    queued = ports.versions.versions()
    assert changed(ordered, queued) == {"jobs"}
    with engine.begin() as connection:
        connection.execute(text("update job set progress = 'epoch 1 of 2'"))
    assert changed(queued, ports.versions.versions()) == {"jobs"}
    with engine.begin() as connection:
        connection.execute(text("insert into running_total (name, label, value) values ('traces', '', 5)"))
    assert changed(queued, ports.versions.versions()) == {"jobs", "counts"}


def changed(before: object, after: object) -> set[str]:
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    return {part for part in before if before[part] != after[part]}


def test_without_a_baseline_there_is_nothing_to_show(engine: Engine) -> None:
    found = ports_of(engine, Settings()).heatmaps.heatmap(View())
    assert (found.rows, found.cohorts, found.all_signals) == ((), 0, ())
