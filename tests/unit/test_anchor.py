"""What the anchor set tells: when a scorer has moved, in episodes, and whose doing an alarm on rewards is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.domain.alarm import Alarm, Direction, Effect, ScorerVerdict, Severity
from monitor.domain.observation import PlacedEntry, Series
from monitor.domain.signal import ANCHOR_FIRST_REWARD, ANCHOR_REWARD
from monitor.domain.stream import StreamKey
from monitor.drift.anchor import AnchorHistory, decide_scorer_verdict, extend, shift_between
from monitor.observe.anchor import AnchorPlan, AnchorStanding, anchor_entry

START = datetime(2026, 11, 21, tzinfo=UTC)
PAIRS, TOLERANCE = 64, 0.05
FIRST = np.random.default_rng(0).normal(2.0, 1.5, PAIRS)
SERIES = Series(ANCHOR_REWARD.name, "anchors-1", "scorer-1")
WINDOW_STOP = 1000


def entry(place: int, values: NDArray[np.float64], *, first: NDArray[np.float64] | None = None) -> PlacedEntry:
    observed = {ANCHOR_REWARD: list(values)} | ({} if first is None else {ANCHOR_FIRST_REWARD: list(first)})
    at = START + timedelta(seconds=place)
    return anchor_entry(SERIES, observed, at=at).placed(sequence=place, first_place=place, at=at)


def history(*shifts: tuple[int, float]) -> AnchorHistory:
    """Return the history of scorings at these places, shifted by so many standard deviations."""
    found = extend({}, entry(WINDOW_STOP, FIRST, first=FIRST), window_stop=WINDOW_STOP)
    for place, shift in shifts:
        found = extend(found, entry(place, FIRST + shift * FIRST.std()), window_stop=WINDOW_STOP)
    return found[SERIES]


def reward_alarm(*, onset: int, place: int, direction: Direction = Direction.DOWN, scorer: str = "scorer-1") -> Alarm:
    return Alarm(
        stream=StreamKey("reward", "*", "policy", scorer),
        direction=direction,
        severity=Severity.ALERT,
        place=place,
        trace_id="t",
        timestamp=START,
        onset_place=onset,
        onset_timestamp=START,
        observations=10,
        evidence_log=1.0,
        effect=Effect(-10.0, -12.0, -8.0, "percentiles"),
    )


@pytest.mark.parametrize("seed", range(20))
def test_rounding_within_the_tolerance_never_alarms_however_often_it_is_scored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = history()
    for number in range(200):
        size = TOLERANCE * FIRST.std()
        noise = rng.choice([-size, size, 0.0], PAIRS) if seed % 2 else rng.uniform(0.0, size, PAIRS)
        found = found.then(again := entry(2000 + 100 * number, FIRST + noise), again.observations[0])
    assert found.alarm(TOLERANCE) is None


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(FIRST + 0.06 * FIRST.std(), id="all by a little"),
        pytest.param(FIRST + np.where(np.arange(PAIRS) % 2, 0.2, -0.2), id="each to its own side"),
        pytest.param(FIRST[::-1], id="the same scores to other pairs"),
    ],
)
def test_what_a_test_of_the_distribution_would_miss_is_seen_at_once_in_pairs(moved: NDArray[np.float64]) -> None:
    shift = shift_between(FIRST, moved)
    assert shift is not None
    assert shift.has_moved(TOLERANCE)


def test_pairs_without_a_score_are_left_out_and_too_few_tell_nothing() -> None:
    again = FIRST.copy()
    again[3] += 1.0
    one = shift_between(FIRST, again)
    assert one is not None
    assert one.telling[0] == 3
    again = FIRST.copy()
    again[10:] = np.nan
    shift = shift_between(FIRST, again)
    assert shift is not None
    assert (shift.pairs, shift.mean) == (10, 0.0)
    again[7:] = np.nan
    assert shift_between(FIRST, again) is None
    assert shift_between(np.full(PAIRS, 3.0), np.full(PAIRS, 3.0)) is not None  # a scorer that says the same of all


def test_an_episode_begins_at_the_last_scoring_that_stood_still_and_ends_at_the_next_that_does() -> None:
    moved = history((2000, 0.0), (3000, 0.5), (4000, 0.6))
    alarm = moved.alarm(TOLERANCE)
    assert alarm is not None
    assert (alarm.onset_place, alarm.place, alarm.episode) == (2000 + PAIRS - 1, 3000 + PAIRS - 1, 0)
    assert alarm.effect is not None
    assert alarm.effect.estimate == pytest.approx(0.5)
    assert alarm.direction is Direction.UP
    assert len(alarm.examples) == 5
    assert history((2000, 0.0), (3000, 0.5)).alarm(TOLERANCE) == alarm  # the same, whenever it is asked for
    assert history((3000, 0.5), (4000, 0.0)).alarm(TOLERANCE) is None
    again = history((3000, 0.5), (4000, 0.0), (5000, -0.5)).alarm(TOLERANCE)
    assert again is not None
    assert (again.episode, again.direction) == (1, Direction.DOWN)


def test_a_scorer_that_changed_before_it_was_first_asked_again_is_seen_by_the_window_s_own_scores() -> None:
    found = extend({}, entry(1500, FIRST + 1.0, first=FIRST), window_stop=WINDOW_STOP)[SERIES]
    alarm = found.alarm(TOLERANCE)
    assert alarm is not None
    assert alarm.onset_place == WINDOW_STOP
    without = extend({}, entry(1500, FIRST + 1.0), window_stop=WINDOW_STOP)[SERIES]
    assert without.alarm(TOLERANCE) is None


CHANGED, POLICY, UNDECIDED = ScorerVerdict.SCORER_CHANGED, ScorerVerdict.POLICY_CHANGED, ScorerVerdict.UNDECIDED


@pytest.mark.parametrize(
    ("shifts", "verdict"),
    [
        pytest.param([], UNDECIDED, id="not scored since the onset"),
        pytest.param([(1900, 0.0)], UNDECIDED, id="scored shortly before the onset"),
        pytest.param([(2100, 0.0)], POLICY, id="still, between onset and alarm"),
        pytest.param([(2600, 0.0)], POLICY, id="still, when the alarm asked"),
        pytest.param([(2100, 0.0), (2600, -0.4)], CHANGED, id="moved by the time the alarm asked"),
        pytest.param([(2100, 0.0), (2600, 0.0), (3600, -0.4)], POLICY, id="moved long after the alarm"),
        pytest.param([(1900, -0.4)], CHANGED, id="moved before the onset and not scored since"),
        pytest.param([(1900, -0.4), (2600, 0.0)], POLICY, id="moved before the onset, and back since"),
    ],
)
def test_the_verdict_rests_on_the_scorings_from_the_onset_to_the_first_after_the_alarm(
    shifts: list[tuple[int, float]], verdict: ScorerVerdict
) -> None:
    finding = decide_scorer_verdict(reward_alarm(onset=2000, place=2500), [history(*shifts)], TOLERANCE)
    assert finding.verdict is verdict


def test_a_verdict_says_how_far_the_scorer_moved_in_the_alarm_s_direction() -> None:
    fell, rose = reward_alarm(onset=2000, place=2500), reward_alarm(onset=2000, place=2500, direction=Direction.UP)
    moved = [history((2600, -0.4))]
    assert "+0.400 sd in the alarm's direction" in decide_scorer_verdict(fell, moved, TOLERANCE).note
    assert "in spite of it" in decide_scorer_verdict(rose, moved, TOLERANCE).note


def test_scores_that_begin_after_the_onset_and_another_scorer_s_decide_nothing() -> None:
    begun = extend({}, entry(2200, FIRST), window_stop=WINDOW_STOP)
    late = extend(begun, entry(2600, FIRST), window_stop=WINDOW_STOP)[SERIES]
    alarm = reward_alarm(onset=2000, place=2500)
    assert decide_scorer_verdict(alarm, [late], TOLERANCE).verdict is UNDECIDED
    other = reward_alarm(onset=2000, place=2500, scorer="scorer-2")
    assert decide_scorer_verdict(other, [history((2600, -0.4))], TOLERANCE).verdict is UNDECIDED


def test_the_set_is_due_at_first_on_its_schedule_and_when_an_alarm_asks_but_not_for_each_of_a_swarm() -> None:
    plan = AnchorPlan(PAIRS, timedelta(hours=1))
    scored = AnchorStanding(START + timedelta(minutes=5), START, 1, None)
    assert plan.is_due(replace(scored, last=None, last_entry=None))
    assert not plan.is_due(scored)
    assert plan.is_due(replace(scored, now=START + timedelta(hours=1)))
    assert plan.is_due(replace(scored, asked=START + timedelta(minutes=1)))
    assert not plan.is_due(replace(scored, asked=START - timedelta(minutes=1)))
    swarm = START + timedelta(seconds=10)
    assert not plan.is_due(replace(scored, now=swarm, asked=swarm))
