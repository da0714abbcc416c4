"""How often a trace is drawn: as wished while the day's budget allows it, and less before it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitor.domain.label import PREFERENCE
from monitor.domain.review import SelectionPlan
from monitor.review.plan import MIN_DISAGREEMENTS, Traffic, Wishes, plan_selection

WISHES = Wishes((PREFERENCE,), least=0.01, disputed=0.05, disputed_share=0.1, daily_items=500.0)
SPREAD = np.linspace(0.0, 1.0, 1000)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def planned(traces: float, before: SelectionPlan | None = None, wishes: Wishes = WISHES) -> SelectionPlan:
    return plan_selection(wishes, traces_a_day=traces, disagreements=SPREAD, before=before)


def items(plan: SelectionPlan, traces: float) -> float:
    return traces * float(np.mean([plan.probability(value) for value in SPREAD]))


def test_quiet_traffic_gets_what_is_wished() -> None:
    plan = planned(10_000)
    assert (plan.kinds, plan.least, plan.disputed) == ((PREFERENCE,), 0.01, 0.05)
    assert plan.disagreement_above == pytest.approx(0.9)
    assert planned(0).least == 0.01


@pytest.mark.parametrize("traces", [10_000, 36_000, 45_000, 50_000, 60_000, 1e6, 1e9])
def test_the_budget_is_kept_and_not_left_lying(traces: float) -> None:
    plan = planned(traces)
    wished = items(SelectionPlan(least=0.01, disputed=0.05, disagreement_above=0.9), traces)
    assert min(wished, 500.0) * 0.8 <= items(plan, traces) <= 500.0


def test_the_disputed_give_way_before_the_floor_does() -> None:
    busy, busier = planned(45_000), planned(60_000)
    assert (busy.least, 0.01 < busy.disputed < 0.05) == (0.01, True)
    assert (busier.least, busier.disputed, busier.disagreement_above) == (busier.disputed, busier.least, None)
    assert busier.least < 0.01


def test_nothing_is_drawn_where_the_queue_is_off_or_has_no_room() -> None:
    for wishes in (replace(WISHES, least=0.0), replace(WISHES, daily_items=0.0)):
        plan = planned(1000, wishes=wishes)
        assert (plan.least, plan.probability(1.0)) == (0.0, 0.0)


def test_a_plan_stays_until_it_breaks_the_budget_or_far_more_could_be_drawn() -> None:
    plan = planned(100_000)
    assert planned(100_000, plan) is plan
    assert planned(95_000, plan) is plan
    assert items(planned(200_000, plan), 200_000) <= 500.0
    assert planned(40_000, plan).least == 0.01


@pytest.mark.parametrize(
    "wishes",
    [
        replace(WISHES, kinds=("refusal",)),
        replace(WISHES, least=0.0),
        replace(WISHES, least=0.005),
        replace(WISHES, disputed=0.02),
        replace(WISHES, disputed_share=0.4),
    ],
)
def test_other_wishes_make_another_plan(wishes: Wishes) -> None:
    plan = planned(10_000)
    assert planned(10_000, plan, wishes) != plan


def test_the_limit_moves_with_the_reward_models_scale() -> None:
    plan = planned(10_000)
    other = plan_selection(WISHES, traces_a_day=10_000, disagreements=100.0 * SPREAD, before=plan)
    assert other.disagreement_above == pytest.approx(90.0)
    few = plan_selection(WISHES, traces_a_day=10_000, disagreements=SPREAD[: MIN_DISAGREEMENTS - 1], before=plan)
    assert few.disagreement_above is None
    alike = plan_selection(WISHES, traces_a_day=10_000, disagreements=np.zeros(1000), before=None)
    assert alike.disagreement_above is None


def test_traffic_is_what_the_busier_of_the_last_hour_and_the_last_minutes_would_bring_in_a_day() -> None:
    traffic = Traffic()
    assert traffic.a_day(NOW) == 0.0
    traffic.add([(NOW - timedelta(minutes=minute), 10) for minute in range(59, -1, -1)], NOW)
    assert traffic.a_day(NOW) == pytest.approx(14_400, rel=0.1)
    traffic.add([(NOW, 1000)], NOW)
    assert traffic.a_day(NOW) == pytest.approx(14_400 + 144_000, rel=0.1)
    assert traffic.a_day(NOW + timedelta(minutes=30)) == pytest.approx(24 * 1310, rel=0.1)
    traffic.add([], NOW + timedelta(hours=2))
    assert traffic.a_day(NOW + timedelta(hours=2)) == 0.0


@pytest.mark.parametrize("busiest", [30, 300, 3000, 30_000])
def test_a_day_with_a_rhythm_and_a_surge_stays_within_its_budget(busiest: int) -> None:
    traffic, plan, drawn = Traffic(), planned(0), 0.0
    for minute in range(24 * 60):
        now = NOW + timedelta(minutes=minute)
        surge = 10 if 600 <= minute < 630 else 1
        count = int(busiest * surge * (0.55 - 0.45 * np.cos(2 * np.pi * minute / 1440)))
        drawn += items(plan, count)
        traffic.add([(now, count)], now)
        plan = planned(traffic.a_day(now), plan)
    late = busiest * 10 * 0.01  # what the surge's first minute brought before anybody had counted it
    assert drawn <= 500 + late
