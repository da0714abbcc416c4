"""A day's evidence through the database, and what operators are told of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine

from monitor.domain.alarm import Direction
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline
from monitor.drift.daily import DayEvidence
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.drift.incident import IncidentRule
from monitor.drift.moved import MovedDays
from monitor.drift.stored import FoldStep
from monitor.postgres.days import PostgresDays
from monitor.postgres.streams import PostgresFoldStore
from tests.commands import Run
from tests.traces import START, drifting
from tests.watched import watch

pytestmark = pytest.mark.postgres
DAY = date(2026, 11, 20)


def frozen() -> Baseline:
    window = Window("refusal", "-", ["a"] * 100, ["m"] * 100, np.tile([0.0, 1.0], 50), np.arange(100))
    return build_baseline([window], NullRule(), first_place=0, stop_place=100)


def quiet(day: date, count: int = 40) -> list[DayEvidence]:
    keys = (StreamKey("refusal", f"c{number:02d}", "m", "-") for number in range(count))
    return [DayEvidence(key, day, 100, -2.0, Direction.DOWN) for key in keys]


def moved(cohort: str, day: date, log_e: float) -> DayEvidence:
    return DayEvidence(StreamKey("refusal", cohort, "m", "-"), day, 100, log_e, Direction.UP)


def store_days(store: PostgresFoldStore, baseline_id: int, evidence: Iterable[DayEvidence]) -> None:
    at = store.load_fold(baseline_id).position
    store.save_fold(
        FoldStep(
            baseline_id, at, at, streams={}, alarms=[], recoveries=[], filing=IncidentRule().file, days=list(evidence)
        )
    )


def told(days: MovedDays, day: date | None) -> list[tuple[str, bool, bool]]:
    found = days.moved(day)
    assert found is not None
    return [(row.evidence.stream.cohort, row.on_the_day, row.over_days) for row in found.moved]


def test_a_day_is_told_as_it_stands_and_again_from_the_beginning_under_a_new_baseline(engine: Engine) -> None:
    store, days = PostgresFoldStore(engine), MovedDays(PostgresDays(engine), 0.1)
    assert days.moved(None) is None
    first = store.freeze(frozen(), by="test", note="").baseline_id
    assert days.moved(None) is None
    store_days(store, first, [*quiet(DAY), moved("a", DAY, 12.0)])
    assert told(days, None) == [("a", True, True)]
    store_days(store, first, [moved("a", DAY, 1.0), moved("b", DAY, 30.0)])  # the day goes on
    assert told(days, None) == [("b", True, True)]
    later = [DAY + timedelta(days=number) for number in (1, 2, 5)]
    for day in later:
        store_days(store, first, [*quiet(day), moved("c", day, 7.0), moved("d", day, 9.0)])
    fresh = MovedDays(PostgresDays(engine), 0.1)
    for asked in (None, later[1], DAY, later[2], later[0]):
        assert told(days, asked) == told(fresh, asked)
    assert told(days, None) == [("d", True, False), ("c", True, False)]
    assert told(days, DAY + timedelta(days=3)) == []
    second = store.freeze(frozen(), by="test", note="").baseline_id
    assert days.moved(None) is None
    store_days(store, second, [*quiet(DAY), moved("e", DAY, 12.0)])
    assert told(days, None) == [("e", True, True)]


def test_the_fold_stores_what_a_day_of_the_traffic_came_to(postgres_url: str, engine: Engine) -> None:
    watch(postgres_url, drifting(1500, change=900), baseline=600)
    found = MovedDays(PostgresDays(engine), 0.1).moved(None)
    assert found is not None
    assert found.day == START.date()
    by_name = {(row.evidence.stream.signal, row.evidence.stream.cohort): row for row in found.moved}
    refusal = by_name["refusal", "*"]
    assert (refusal.evidence.direction, refusal.on_the_day, refusal.evidence.observations) == (Direction.UP, True, 900)
    assert ("truncation", "*") not in by_name


def test_operators_are_told_at_the_terminal(run: Run, engine: Engine, postgres_url: str) -> None:
    run("--version", POSTGRES__URL=postgres_url)
    assert "nothing was watched yet" in run("drift", "moved").out
    store = PostgresFoldStore(engine)
    baseline_id = store.freeze(frozen(), by="test", note="").baseline_id
    hostile = moved("a", DAY, 12.0)
    hostile = replace(hostile, stream=replace(hostile.stream, policy_model="\x1b[31m[/b]"))
    store_days(store, baseline_id, [*quiet(DAY), hostile])
    store_days(store, baseline_id, quiet(DAY + timedelta(days=1)))
    done = run("drift", "moved", "--day", DAY)
    assert done.code == 0
    assert "2026-11-20: 1 of 41 streams moved" in done.out
    assert "10^5.2 to 1" in done.out
    assert "\x1b" not in done.out
    assert "2026-11-21: 0 of 40 streams moved" in run("drift", "moved").out
    listed = json.loads(run("drift", "moved", "--day", DAY, "--json").out)
    assert (listed["day"], listed["moved"][0]["evidence"]["stream"]["cohort"]) == ("2026-11-20", "a")
