"""Cohorts by signals: what comes first, what is folded away, and what a view leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.domain.alarm import AlarmKind, AlarmState, Direction, Severity
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.drift.heatmap import CellState, Heatmap, LiveAlarm, StreamRows, Table, View
from monitor.drift.heatmap import Heatmaps as Service
from monitor.drift.stored import ActiveBaseline
from tests.unit.in_memory_ports import NOW, stream_status


def stream(
    cohort: str = "a", evidence: float = 0.1, signal: str = "refusal", model: str = "m", **changes: Any
) -> StreamStatus:
    key = StreamKey(signal, cohort, model, changes.pop("scorer", "1"))
    return stream_status(key=key, evidence_log=evidence, **changes)


def alarm(cohort: str = "a", state: AlarmState = AlarmState.OPEN, **changes: Any) -> LiveAlarm:
    key = StreamKey("refusal", cohort, "m", "1")
    usual = LiveAlarm(7, key, AlarmKind.DRIFT, state, Severity.ALERT, Direction.DOWN, -0.02)
    return replace(usual, **changes)


def shown(statuses: list[StreamStatus], *alarms: LiveAlarm, champion: str | None = None, **view: Any) -> Heatmap:
    return Table(statuses, alarms, champion=champion).show(View(**view))


def cohorts(found: Heatmap) -> list[str]:
    return [row.cohort for row in found.rows]


def test_open_alarms_come_first_then_those_dealt_with_then_evidence_and_the_roll_up_above_all() -> None:
    statuses = [stream(name, evidence) for name, evidence in [("quiet", 0.0), ("near", 0.9), ("*", 0.2)]]
    statuses += [stream(name) for name in ("warned", "paged", "seen")]
    alarms = [alarm("warned", severity=Severity.WARNING), alarm("paged"), alarm("seen", AlarmState.ACKNOWLEDGED)]
    assert cohorts(shown(statuses, *alarms)) == ["*", "paged", "warned", "seen", "near", "quiet"]


def test_rows_with_much_the_same_evidence_keep_their_places() -> None:
    statuses = [stream("b", 0.32), stream("a", 0.31), stream("c", 0.34)]
    assert cohorts(shown(statuses)) == ["a", "b", "c"]


def test_a_cell_has_the_effect_of_its_alarm_else_the_mean_s_distance_from_the_baseline_s() -> None:
    (row, other) = shown([stream("a"), stream("b", mean=0.034, baseline_mean=0.03)], alarm("a")).rows
    (cell,), (free,) = row.cells, other.cells
    assert (cell.effect, cell.direction) == (-0.02, Direction.DOWN)
    assert cell.alarm is not None
    assert cell.alarm.alarm_id == 7
    assert (free.effect, free.direction, free.alarm) == (0.004, Direction.UP, None)


def test_no_evidence_at_all_is_null_since_json_has_no_infinity() -> None:
    assert shown([stream(evidence=-float("inf"))]).rows[0].cells[0].evidence is None


def test_a_cell_is_the_stream_with_most_to_say_and_counts_the_others() -> None:
    statuses = [stream(model="m1", evidence=0.2), stream(model="m2", evidence=0.6), stream(model="m3", evidence=0.1)]
    (cell,) = shown(statuses).rows[0].cells
    assert (cell.policy_model, cell.others) == ("m2", 2)
    (cell,) = shown(statuses, model="m3").rows[0].cells
    assert (cell.policy_model, cell.others) == ("m3", 0)


def test_a_series_whose_scorer_was_replaced_is_folded_away_at_once() -> None:
    statuses = [stream(signal="reward", scorer=scorer, evidence=0.9) for scorer in ("old", "new")]
    found = shown(statuses, champion="new")
    assert [cell.scorer_version for cell in found.rows[0].cells] == ["new"]
    assert (found.retired, found.rows[0].cells[0].others) == (1, 0)
    (cell,) = shown(statuses, champion="new", retired=True).rows[0].cells
    assert (cell.scorer_version, cell.others) == ("new", 1)  # what counts now leads, whatever the old one said


def test_a_policy_model_that_another_one_took_the_place_of_is_folded_away_after_an_hour() -> None:
    past = NOW - timedelta(hours=2)
    statuses = [stream("a", model="old", last_timestamp=past), stream("a", model="new"), stream("gone", model="old")]
    statuses[2] = replace(statuses[2], last_timestamp=past)
    found = shown(statuses)
    assert cohorts(found) == ["a"]
    assert (found.all_models, found.retired) == (("new",), 2)
    everything = shown(statuses, retired=True)
    assert cohorts(everything) == ["a", "gone"]
    assert everything.all_models == ("new", "old")
    assert everything.rows[1].cells[0].is_retired


def test_labels_that_come_days_later_do_not_make_their_signal_retired() -> None:
    late = stream("a", signal="win_rate", last_timestamp=NOW - timedelta(days=3))
    found = shown([stream("a"), late])
    assert {cell.signal: cell.is_retired for cell in found.rows[0].cells} == {"refusal": False, "win_rate": False}


def test_a_stream_with_a_live_alarm_is_never_folded_away() -> None:
    statuses = [stream("a", last_timestamp=NOW - timedelta(hours=5)), stream("b", model="new")]
    found = shown(statuses, alarm("a"))
    assert cohorts(found) == ["a", "b"]
    assert found.rows[0].cells[0].is_quiet


def test_a_cohort_that_nothing_comes_of_has_its_alarm_beside_its_name() -> None:
    silent = alarm("silent", stream=StreamKey("*", "silent", "*", "*"), kind=AlarmKind.NO_DATA, direction=None)
    found = shown([stream("a", 0.9)], silent)
    assert cohorts(found) == ["silent", "a"]
    assert [mark.kind for mark in found.rows[0].alarms] == [AlarmKind.NO_DATA]
    assert cohorts(shown([stream("a", 0.9)], silent, states=frozenset({CellState.OPEN}))) == ["silent"]
    assert cohorts(shown([stream("a", 0.9)], silent, signals=frozenset({"refusal"}))) == ["a"]


@pytest.mark.parametrize(
    ("view", "left"),
    [
        ({"cohort": " PROD=B "}, ["prod=b"]),
        ({"cohort": "all coh"}, ["*"]),
        ({"signals": frozenset({"error"})}, ["prod=c"]),
        ({"model": "m2"}, ["prod=c"]),
        ({"states": frozenset({CellState.ALARM})}, ["prod=b"]),
        ({"states": frozenset({CellState.OPEN})}, []),
        ({"states": frozenset({CellState.NEAR})}, ["prod=a"]),
        ({"states": frozenset({CellState.UNSTEADY, CellState.QUIET})}, ["*", "prod=c"]),
        ({"cohort": "nobody"}, []),
    ],
    ids=["part of a name", "the roll-up's name", "a signal", "a model", "alarms", "open ones", "near", "two", "none"],
)
def test_a_view_leaves_the_cohorts_it_asks_for(view: dict[str, Any], left: list[str]) -> None:
    statuses = [
        stream("*", last_timestamp=NOW - timedelta(minutes=90)),
        stream("prod=a", 0.75),
        stream("prod=b"),
        stream("prod=c", signal="error", model="m2", is_steady=False),
        stream("none"),
    ]
    seen = alarm("prod=b", AlarmState.ACKNOWLEDGED)
    assert cohorts(shown(statuses, seen, **view)) == left


def test_pages_are_cut_from_the_whole_order_and_a_page_past_the_end_is_the_last() -> None:
    statuses = [stream(f"c{number:03d}") for number in range(25)]
    second = shown(statuses, page=2, size=10)
    assert (second.page, second.pages, second.found, second.cohorts) == (2, 3, 25, 25)
    assert cohorts(second) == [f"c{number:03d}" for number in range(10, 20)]
    assert cohorts(shown(statuses, page=9, size=10)) == [f"c{number:03d}" for number in range(20, 25)]
    nothing = shown([])
    assert (nothing.page, nothing.pages, nothing.rows, nothing.newest) == (1, 1, (), None)


def test_columns_keep_the_program_s_order_and_end_with_users_own_signals() -> None:
    names = ("zeal", "input_shift", "error", "my_own", "response_length", "refusal")
    found = shown([stream(signal=name) for name in names])
    wanted = ["response_length", "refusal", "error", "input_shift", "my_own", "zeal"]
    assert [column.signal for column in found.signals] == wanted
    assert list(found.all_signals) == wanted


class Store:
    """Says which version its rows have, and counts how often they are read."""

    def __init__(self) -> None:
        self.at, self.read = "1", 0

    def version(self) -> str:
        return self.at

    def rows(self, known: ActiveBaseline | None) -> StreamRows:
        self.read += 1
        return StreamRows(None, {}, [alarm(stream=StreamKey("*", "c", "*", "*"), kind=AlarmKind.NO_DATA)], None)


def test_the_table_is_made_again_only_when_something_has_changed() -> None:
    store = Store()
    service = Service(store)
    for _ in range(3):
        assert cohorts(service.heatmap(View())) == ["c"]
    assert store.read == 1
    store.at = "2"
    service.heatmap(View())
    assert store.read == 2
