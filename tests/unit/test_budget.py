"""The budget of false pages: what each stream's evidence must reach, and that no more is ever spent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import ANY_POLICY
from monitor.drift.budget import Budget, Pace, StreamCount, WindowPaces
from monitor.drift.daily import Days, StreamDay
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.stats.eprocess import Mixture

START = datetime(2026, 11, 1, tzinfo=UTC)
BETS = Mixture.of(np.ones(1))
paces = st.floats(0.01, 1e6)


def key(cohort: str, signal: str = "refusal", policy_model: str = "m") -> StreamKey:
    return StreamKey(signal, cohort, policy_model, "-")


def streams_of(rollups: list[float], cohorts: list[float]) -> dict[StreamKey, float]:
    return {key(ALL, f"s{number}"): pace for number, pace in enumerate(rollups)} | {
        key(f"c{number}"): pace for number, pace in enumerate(cohorts)
    }


def spent(budget: Budget, streams: dict[StreamKey, float]) -> float:
    """Return the false alarms a day that the streams' own run lengths allow for."""
    count = StreamCount().and_of(name.cohort for name in streams)
    return sum(pace / budget.run_length(name, pace, count) for name, pace in streams.items())


@given(st.lists(paces, max_size=12), st.lists(paces, max_size=40), st.floats(0.5, 400.0), st.floats(0.05, 0.95))
def test_the_streams_together_never_spend_more_than_one_false_page_in_the_days_asked_for(
    rollups: list[float], cohorts: list[float], days: float, share: float
) -> None:
    budget, streams = Budget(days, share), streams_of(rollups, cohorts)
    assert spent(budget, streams) <= (1.0 + 1e-9) / days
    unfloored = Budget(days, share, least_run_length=0.0)
    if streams:
        assert spent(unfloored, streams) == pytest.approx(1.0 / days)


def test_half_goes_to_the_roll_ups_and_half_to_the_cohorts_in_equal_parts() -> None:
    budget, count = Budget(30.0), StreamCount(rollups=5, cohorts=995)
    assert budget.share(key(ALL), count) == pytest.approx(0.5 / 5 / 30)
    assert budget.share(key("a"), count) == pytest.approx(0.5 / 995 / 30)
    assert budget.run_length(key(ALL), 10_000.0, count) == pytest.approx(3e6)
    assert budget.share(key(ALL), StreamCount(5, 0)) == pytest.approx(1 / 5 / 30)


def test_a_warning_may_be_false_ten_times_as_often_and_no_threshold_lies_below_the_least() -> None:
    budget = Budget(30.0)
    assert budget.thresholds(3e6) == {Severity.WARNING: 3e5, Severity.ALERT: 3e6}
    few = budget.run_length(key("tiny"), 3.0, StreamCount(1, 1))
    assert budget.thresholds(few) == {Severity.WARNING: 1000.0, Severity.ALERT: 1000.0}


def test_a_run_length_that_an_operator_sets_holds_for_all_streams() -> None:
    budget = Budget(average_run_length=100.0)
    assert budget.run_length(key("a"), 1e6, StreamCount(9, 900)) == 100.0
    assert budget.thresholds(100.0) == {Severity.WARNING: 10.0, Severity.ALERT: 100.0}


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40))
def test_a_threshold_never_falls_under_one_baseline_whatever_the_traffic_does(counts: list[int]) -> None:
    days = days_of(Budget(), StreamCount(1, 10), 100.0)
    known: dict[StreamKey, StreamDay] = {}
    lengths = []
    for number, count in enumerate(counts):
        days.turn(START + timedelta(days=number), known.items())
        if count:
            known[key("a")] = days.begin(key("a"), known.get(key("a")), BETS).after(count, np.zeros(12))
            lengths.append(known[key("a")].run_length)
    assert lengths == sorted(lengths)


def days_of(budget: Budget, count: StreamCount, pace: float) -> Days:
    """Return days on which every stream is expected to bring *pace* observations."""
    keys = [key(cohort, policy_model=ANY_POLICY) for cohort in (ALL, "a", "b", "c", "d")]
    return Days(budget, WindowPaces(count, dict.fromkeys(keys, pace), {}))


def spent_over(counts: list[float], expected: float) -> float:
    """Return in shares what a roll-up spends over days of so many observations."""
    budget = Budget(least_run_length=0.0)
    share = budget.share(key(ALL), StreamCount(1, 10))
    days = days_of(budget, StreamCount(1, 10), expected)
    stream, total = None, 0.0
    for number, count in enumerate(counts):
        days.turn(START + timedelta(days=number), ())
        stream = days.begin(key(ALL), stream, BETS).after(int(count), np.zeros(12))
        total += count / stream.run_length / share
    return total


def test_steady_traffic_spends_its_share_each_day_and_a_doubling_two_or_three_more_until_it_is_measured() -> None:
    assert spent_over([1000.0] * 30, 1000.0) == pytest.approx(30.0)
    assert 30.0 < spent_over([1000.0] * 5 + [2000.0] * 25, 1000.0) < 33.0
    assert spent_over([1000.0] * 5 + [500.0] * 25, 1000.0) < 30.0
    weekly = [1000.0, 1000.0, 1000.0, 1000.0, 1000.0, 400.0, 300.0] * 8
    assert spent_over(weekly, 1000.0) < len(weekly)


def test_days_without_an_observation_count_as_days() -> None:
    pace = Pace(rate=90.0, day=10, today=90)
    assert pace.on(12).rate == pytest.approx(90.0 * 2 / 3)
    assert pace.on(9) == pace


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=8))
def test_a_streams_day_is_the_same_wherever_the_log_is_cut_and_however_often_it_is_taken_up_again(
    by_day: list[list[int]],
) -> None:
    def followed(*, whole: bool) -> StreamDay | None:
        days, stream = days_of(Budget(), StreamCount(1, 3), 5.0), None
        for number, parts in enumerate(by_day):
            for part in [sum(parts)] * bool(parts) if whole else parts:
                if not whole:
                    days = days_of(Budget(), StreamCount(1, 3), 5.0)
                    stream = None if stream is None else StreamDay.from_bytes(stream.to_bytes())
                days.turn(START + timedelta(days=number), [(key("a"), stream)])
                stream = days.begin(key("a"), stream, BETS).after(part, np.full(12, 0.25 * part))
        return stream

    one, other = followed(whole=True), followed(whole=False)
    if one is None or other is None:
        assert one is other
    else:
        assert (one.since, one.pace, one.run_length) == (other.since, other.pace, other.run_length)
        assert np.array_equal(one.log_products, other.log_products)


def test_a_stream_that_begins_today_takes_no_part_in_todays_shares_but_in_tomorrows() -> None:
    days = days_of(Budget(), StreamCount(1, 1), 1e6)
    known: dict[StreamKey, StreamDay] = {}
    days.turn(START, known.items())
    for cohort in "abc":
        known[key(cohort)] = days.begin(key(cohort), None, BETS).after(1_000_000, np.zeros(12))
    assert len({stream.run_length for stream in known.values()}) == 1
    days.turn(START + timedelta(hours=1), known.items())
    assert days.begin(key("d"), None, BETS).run_length == known[key("a")].run_length
    days.turn(START + timedelta(days=1), known.items())
    assert days.begin(key("a"), known[key("a")], BETS).run_length == pytest.approx(3 * known[key("a")].run_length)


def test_days_go_on_where_they_were_after_a_restart_though_the_next_traces_are_late() -> None:
    days = days_of(Budget(), StreamCount(1, 1), 1e6)
    days.turn(START, ())
    stream = days.begin(key("a"), None, BETS).after(5, np.ones(12))
    again = days_of(Budget(), StreamCount(1, 1), 1e6)
    again.turn(START - timedelta(days=2), [(key("a"), stream)])
    assert again.day == days.day
    assert again.begin(key("a"), stream, BETS) is stream


def test_a_baseline_says_which_streams_it_feeds_and_at_what_pace() -> None:
    cohorts = ["a"] * 60 + ["b"] * 40 + ["rare"] * 5
    window = Window("refusal", "-", cohorts, ["m"] * 105, np.tile([0.0, 1.0, 0.0], 35), np.arange(105))
    baseline = build_baseline([window], NullRule(), first_place=0, stop_place=105)
    paces = WindowPaces.of(baseline, window_days=2.0)
    assert paces.count == StreamCount(rollups=1, cohorts=2)
    assert paces.expected(key("a")) == 30.0
    assert paces.expected(key(ALL, policy_model="new")) == 50.0
    assert paces.expected(key("rare")) == 0.0
    assert paces.expected(key("b", signal="input_shift")) == 20.0
    assert WindowPaces.of(baseline, 0.0).expected(key("a")) == 60 * 24


def test_each_policy_model_of_the_window_has_streams_of_its_own_and_another_is_expected_to_replace_them() -> None:
    window = Window("refusal", "-", ["a"] * 100, ["m"] * 60 + ["n"] * 40, np.tile([0.0, 1.0], 50), np.arange(100))
    paces = WindowPaces.of(build_baseline([window], NullRule(), first_place=0, stop_place=100), window_days=1.0)
    assert paces.count == StreamCount(rollups=2, cohorts=2)
    assert [paces.expected(key("a", policy_model=name)) for name in ("m", "n", "o")] == [60.0, 40.0, 100.0]
