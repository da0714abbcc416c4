"""The fold: who bets against what, when it decides, and that it may be interrupted anywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Recovery, Severity
from monitor.domain.cohort import ALL, OTHER, UNLABELLED
from monitor.domain.observation import ObservationBatch, PlacedEntry, Series, Source, moment_of
from monitor.domain.stream import StreamKey, StreamNumbers
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget, Pace
from monitor.drift.daily import StreamDay
from monitor.drift.fold import Fold, FoldRules, in_fold_order, restore, store
from monitor.drift.followed import MAX_POLICY_MODELS
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.drift.log import excerpt_of
from monitor.drift.status import status_of
from monitor.drift.stream import Decision, Episode, Follower, Rows, Stream
from monitor.drift.tolerance import Tolerance
from monitor.stats.edetector import BETS, EDetector, NullIntervals, State
from tests.prompts import Asking, asking, subjects_of

AT = datetime(2025, 3, 1, tzinfo=UTC)
BASELINE = 400
RULES = FoldRules(Budget(average_run_length=10_000.0))
COHORTS = ("a", "b", UNLABELLED)


def batch(values: NDArray[np.float64], *, first: int = BASELINE, policy_model: str = "m") -> ObservationBatch:
    codes = np.arange(first, first + len(values)) % len(COHORTS)
    return ObservationBatch(
        series=Series("refusal", policy_model, "1"),
        cohorts=COHORTS,
        cohort_codes=codes.astype(np.int32),
        places=np.arange(first, first + len(values)),
        values=values,
    )


def entry(
    values: NDArray[np.float64], *, first: int = BASELINE, policy_model: str = "m", at: datetime = AT
) -> PlacedEntry:
    found = batch(values, first=first, policy_model=policy_model)
    return PlacedEntry(Source.TRACES, 1, first, len(values), at, at, (found,))


def binary(n: int, mean: float, seed: int = 0) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random(n) < mean).astype(float)


@cache
def baseline(*, points: float | None = None) -> Baseline:
    """Freeze refusals of 10%; *points* are accepted, or what a rate accepts by default."""
    cohorts, values = [COHORTS[n % 3] for n in range(BASELINE)], binary(BASELINE, 0.1)
    window = Window("refusal", "1", cohorts, ["m"] * BASELINE, values, np.arange(BASELINE))
    rule = NullRule(tolerance=None if points is None else {"refusal": Tolerance(points=points)})
    return build_baseline([window], rule, first_place=0, stop_place=BASELINE)


DRIFTING = np.concatenate((binary(300, 0.1, 1), binary(600, 0.5, 2)))


def folded(cuts: list[int], *, restart: bool = False) -> tuple[Fold, list[Decision]]:
    fold = Fold(baseline(), RULES)
    outcomes: list[Decision | Recovery] = []
    edges = [0, *sorted(cuts), len(DRIFTING)]
    for number, start in enumerate(edges[:-1]):
        outcomes += fold.add(entry(DRIFTING[start : edges[number + 1]], first=BASELINE + start))
        if restart:
            resumed = Fold(baseline(), RULES)
            restore(resumed, store(fold, fold.streams))
            fold = resumed
    return fold, in_fold_order(item for item in outcomes if isinstance(item, Decision))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, len(DRIFTING)), max_size=6), st.booleans())
def test_where_the_log_is_cut_and_whether_the_fold_restarts_there_changes_no_decision(
    cuts: list[int], restart: bool
) -> None:
    whole, expected = folded([])
    fold, decisions = folded(cuts, restart=restart)
    assert len(expected) == 6
    for found, wanted in zip(decisions, expected, strict=True):
        assert found.evidence_log == pytest.approx(wanted.evidence_log)
        assert (found.stream, found.severity, found.place, found.onset_place, found.observations) == (
            wanted.stream,
            wanted.severity,
            wanted.place,
            wanted.onset_place,
            wanted.observations,
        )
    for key, detector in whole.streams.items():
        assert fold.streams[key].observations == detector.observations
        assert fold.streams[key].mean == pytest.approx(detector.mean)


def test_each_stream_warns_before_it_alerts_once_each_and_in_the_drift_s_direction() -> None:
    _, decisions = folded([])
    for cohort in (ALL, "a", "b"):
        mine = [decision for decision in decisions if decision.stream.cohort == cohort]
        assert [decision.severity for decision in mine] == [Severity.WARNING, Severity.ALERT]
        assert {decision.direction for decision in mine} == {Direction.UP}
        assert all(decision.evidence_log >= 1.0 for decision in mine)
        assert all(abs(decision.onset_place - (BASELINE + 300)) < 100 for decision in mine)


def test_a_warning_comes_before_the_alert_that_one_observation_reaches_with_it() -> None:
    _, decisions = folded([])
    alert = decisions[-1]
    warning = replace(alert, severity=Severity.WARNING)
    assert in_fold_order([alert, warning]) == [warning, alert]


def test_traces_without_a_label_count_in_the_roll_up_and_have_no_stream_of_their_own() -> None:
    fold, _ = folded([])
    observed = {key.cohort: detector.observations for key, detector in fold.streams.items()}
    assert observed == {ALL: 900, "a": 300, "b": 300}


def test_traces_of_the_baseline_and_of_signals_without_a_law_are_passed_over() -> None:
    fold = Fold(baseline(), RULES)
    assert fold.add(entry(binary(BASELINE + 30, 0.1), first=0)) == []
    assert fold.streams[StreamKey("refusal", ALL, "m", "1")].observations == 30
    unknown = Fold(Baseline(0, 0, ()), RULES)
    assert unknown.add(entry(DRIFTING)) == []
    assert unknown.streams == {}


def test_policy_models_past_the_cap_share_one_stream_that_does_not_depend_on_who_came_first() -> None:
    fold = Fold(baseline(), RULES)
    for number in range(MAX_POLICY_MODELS + 3):
        fold.add(entry(binary(30, 0.1), policy_model=f"m{number:03}"))
    assert len({key.policy_model for key in fold.streams}) == MAX_POLICY_MODELS + 1
    assert fold.streams[StreamKey("refusal", ALL, OTHER, "1")].observations == 3 * 30


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("size", [7, 100])
def test_where_the_log_is_cut_changes_neither_which_models_share_a_stream_nor_what_it_decides(
    size: int, restart: bool
) -> None:
    values, rng = np.concatenate((binary(1000, 0.1), binary(1000, 0.7))), np.random.default_rng(1)
    models = [f"m{number:03}" for number in rng.integers(0, MAX_POLICY_MODELS + 30, len(values))]

    def cut(size: int, *, restart: bool) -> tuple[dict[StreamKey, int], list[tuple[object, ...]]]:
        fold, outcomes = Fold(baseline(), RULES), list[Decision | Recovery]()
        for start in range(0, len(values), size):
            whole = batch(values[start : start + size], first=BASELINE + start)
            names = np.array(models[start : start + size])
            parts = [_of_model(whole, name, names == name) for name in sorted(set(names))]
            outcomes += fold.add(PlacedEntry(Source.TRACES, 1, whole.places[0], size, AT, AT, tuple(parts)))
            if restart:
                resumed = Fold(baseline(), RULES)
                restore(resumed, store(fold, fold.streams))
                fold = resumed
        decisions = in_fold_order(item for item in outcomes if isinstance(item, Decision))
        seen = {key: stream.observations for key, stream in fold.streams.items()}
        return seen, [(item.stream, item.severity, item.place, item.onset_place) for item in decisions]

    expected = cut(len(values), restart=False)
    assert any(stream.policy_model == OTHER for stream, *_ in expected[1])  # type: ignore[attr-defined]
    assert cut(size, restart=restart) == expected


def _of_model(whole: ObservationBatch, name: str, chosen: NDArray[np.bool_]) -> ObservationBatch:
    return ObservationBatch(
        series=replace(whole.series, policy_model=name),
        cohorts=whole.cohorts,
        cohort_codes=whole.cohort_codes[chosen],
        places=whole.places[chosen],
        values=whole.values[chosen],
    )


def test_an_excerpt_is_the_stream_s_own_observations_between_two_traces() -> None:
    batches = [batch(np.arange(6.0), first=0), batch(np.arange(6.0, 12.0), first=6)]
    cut = excerpt_of([part.between(3, 10) for part in batches], StreamKey("refusal", "a", "m", "1"))
    assert (cut.places.tolist(), cut.values.tolist(), list(cut.cohorts)) == ([3, 6, 9], [3.0, 6.0, 9.0], ["a"] * 3)
    assert len(excerpt_of([part.between(3, 10) for part in batches], StreamKey("refusal", ALL, "m", "1")).values) == 7
    assert len(excerpt_of(batches, StreamKey("refusal", ALL, "m", "2")).values) == 0


TWICE = np.concatenate((binary(300, 0.1, 1), binary(300, 0.6, 2), binary(900, 0.1, 3), binary(300, 0.6, 4)))
QUICK = FoldRules(Budget(average_run_length=10_000.0), patience=100)


def told(cuts: list[int], *, restart: bool = False) -> list[tuple[str, int, int]]:
    """Return what the roll-up's stream went through over a drift, its end, and another."""
    fold, story = Fold(baseline(), QUICK), list[tuple[str, int, int]]()
    for start, stop in pairwise([0, *sorted(cuts), len(TWICE)]):
        for outcome in fold.add(entry(TWICE[start:stop], first=BASELINE + start)):
            if outcome.stream.cohort == ALL:
                word = outcome.severity.value if isinstance(outcome, Decision) else "recovered"
                story.append((word, outcome.episode, outcome.place))
        if restart:
            resumed = Fold(baseline(), QUICK)
            restore(resumed, store(fold, fold.streams))
            fold = resumed
    return sorted(story, key=lambda item: (item[2], item[0] != "warning"))


def test_a_stream_recovers_when_nothing_of_late_says_that_it_is_drifted_and_alarms_again_when_it_drifts_again() -> None:
    story = told([])
    assert [(word, episode) for word, episode, _ in story] == [
        ("warning", 0),
        ("alert", 0),
        ("recovered", 0),
        ("warning", 1),
        ("alert", 1),
    ]
    alert, recovered, again = (story[number][2] for number in (1, 2, 4))
    assert BASELINE + 300 < alert < BASELINE + 400
    assert BASELINE + 600 < recovered < BASELINE + 1200
    assert BASELINE + 1500 < again < BASELINE + 1600


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, len(TWICE)), max_size=6), st.booleans())
def test_where_the_log_is_cut_changes_neither_a_recovery_nor_the_next_episode(cuts: list[int], restart: bool) -> None:
    assert told(cuts, restart=restart) == told([])


def test_a_drift_that_goes_on_is_confirmed_and_stays_one_episode() -> None:
    fold = Fold(baseline(), QUICK)
    outcomes = fold.add(entry(np.concatenate((binary(300, 0.1, 1), binary(3000, 0.6, 2)))))
    mine = [outcome for outcome in outcomes if outcome.stream.cohort == ALL]
    assert [outcome.severity for outcome in mine if isinstance(outcome, Decision)] == [Severity.WARNING, Severity.ALERT]
    assert len(mine) == 2


def test_the_fold_s_time_is_the_log_s_and_goes_on_without_observations() -> None:
    fold = Fold(baseline(), RULES)
    fold.add(entry(binary(30, 0.1)))
    assert fold.at == AT
    fold.add(PlacedEntry(Source.CLOCK, 2, BASELINE + 30, 0, AT + timedelta(minutes=1), None, ()))
    fold.add(PlacedEntry(Source.CLOCK, 3, BASELINE + 30, 0, AT, None, ()))
    assert fold.at == AT + timedelta(minutes=1)


def test_a_warning_keeps_its_evidence_so_that_a_slow_drift_is_found_as_soon_as_without_looks() -> None:
    slow = np.concatenate((binary(300, 0.1, 1), binary(6000, 0.16, 5)))
    found = []
    for patience in (100, 1_000_000):
        fold = Fold(baseline(), replace(RULES, patience=patience))
        outcomes = fold.add(entry(slow))
        alerts = [item for item in outcomes if isinstance(item, Decision) and item.severity is Severity.ALERT]
        found.append(next(alert.place for alert in alerts if alert.stream.cohort == ALL))
    assert found[0] == found[1]


def test_an_alert_that_took_long_to_show_stays_open_while_the_mean_stays_outside_of_what_is_accepted() -> None:
    slow = np.concatenate((binary(300, 0.1, 1), binary(9000, 0.22, 5)))
    fold = Fold(baseline(), QUICK)
    mine = [outcome for outcome in fold.add(entry(slow)) if outcome.stream.cohort == ALL]
    alert = next(item for item in mine if isinstance(item, Decision) and item.severity is Severity.ALERT)
    assert alert.place - alert.onset_place > QUICK.patience
    assert not [item for item in mine if isinstance(item, Recovery) and item.place > alert.place]


def test_a_change_within_what_is_accepted_is_warned_of_and_never_paged() -> None:
    fold = Fold(baseline(points=0.1), RULES)
    outcomes = fold.add(entry(np.concatenate((binary(300, 0.1, 1), binary(6000, 0.18, 5)))))
    found = {item.severity for item in outcomes if isinstance(item, Decision) and item.stream.cohort == ALL}
    assert found == {Severity.WARNING}


def test_a_window_that_moved_by_itself_raises_warnings_alone() -> None:
    """Its blocks' means differ by far more than is accepted, so a page would tell of nothing new."""
    rates = np.repeat(np.tile([0.02, 0.4], 4), 100)
    values = (np.random.default_rng(3).random(len(rates)) < rates).astype(float)
    window = Window("refusal", "1", ["a"] * len(rates), ["m"] * len(rates), values, np.arange(len(rates)))
    strict = NullRule(tolerance={"refusal": Tolerance(points=0.02)})
    frozen = build_baseline([window], strict, first_place=0, stop_place=BASELINE)
    fold = Fold(frozen, RULES)
    outcomes = fold.add(entry(np.ones(900)))
    assert {item.severity for item in outcomes if isinstance(item, Decision)} == {Severity.WARNING}
    assert all(np.isfinite(fold.evidence_log(key)) for key in fold.streams)
    status = status_of(StreamKey("refusal", "a", "m", "1"), frozen, StreamNumbers(1, 0.5, AT, 0.0))
    assert status is not None
    assert not status.is_steady


ASKED = 1200


def of_lengths(asked: Asking, *, first: int, size: int, seed: int, longer: float = 0.0) -> list[PlacedEntry]:
    """Return entries of answers that are as long as their prompts let expect, or *longer* by so much of a logarithm."""
    values = np.exp(asked.log_length() + longer + np.random.default_rng(seed).normal(0, 0.3, len(asked)))
    found = []
    for start in range(0, len(asked), size):
        known = asked.covariates.between(start, start + size)
        stop = start + len(known)
        lengths = ObservationBatch(
            series=Series("response_length", "m", "1"),
            cohorts=known.cohorts,
            cohort_codes=known.cohort_codes,
            places=np.arange(first + start, first + stop),
            values=values[start:stop],
        )
        times = asked.timestamps[start:stop]
        at = moment_of(int(times.max()))
        found.append(PlacedEntry(Source.TRACES, 1, first + start, stop - start, at, at, (lengths,), times, known))
    return found


@cache
def of_prompts(*, embedding_dimensions: int = 0) -> Baseline:
    asked = asking(ASKED, embedding_dimensions=embedding_dimensions)
    values = np.exp(asked.log_length() + np.random.default_rng(1).normal(0, 0.3, ASKED))
    window = Window("response_length", "1", list(asked.cohorts), ["m"] * ASKED, values, np.arange(ASKED))
    return build_baseline([window], NullRule(), first_place=0, stop_place=ASKED, subjects=subjects_of(asked))


@pytest.mark.parametrize("restart", [False, True])
def test_a_day_of_which_only_repeats_have_come_has_not_begun_whoever_goes_on(restart: bool) -> None:
    key, tomorrow = StreamKey("refusal", ALL, "m", "1"), AT + timedelta(days=1)
    fold = Fold(baseline(), RULES)
    fold.add(entry(binary(30, 0.1)))
    fold.add(PlacedEntry(Source.TRACES, 2, BASELINE + 30, 5, tomorrow, tomorrow, ()))
    if restart:
        stored, fold = store(fold, fold.streams), Fold(baseline(), RULES)
        restore(fold, stored)
    fold.add(entry(binary(30, 0.1), first=BASELINE + 35, at=AT))
    assert fold.streams[key].day.pace.day == AT.toordinal()


def test_prompts_of_one_kind_alone_are_a_shift_and_say_nothing_of_the_answers_however_many_come() -> None:
    """So far from the window nothing is staked: what is only counted must not add up to an alarm."""
    fold, outcomes = Fold(of_prompts(), RULES), list[Decision | Recovery]()
    later = asking(11_000, shares=(0, 0, 0, 1), seed=5, first=ASKED)
    for part in of_lengths(later, first=ASKED, size=500, seed=5):
        outcomes += fold.add(part)
    assert {outcome.stream.signal for outcome in outcomes} == {"input_shift"}
    assert all(np.isfinite(fold.evidence_log(key)) for key in fold.streams)


@pytest.mark.parametrize("lost", ["no column", "rows of nothing", "another model's"])
def test_an_embedder_that_is_away_is_no_shift_of_the_prompts_and_hides_no_drift(lost: str) -> None:
    fold, outcomes = Fold(of_prompts(embedding_dimensions=8), RULES), list[Decision | Recovery]()
    later = asking(1000, seed=5, first=ASKED, embedding_dimensions=8)
    known = later.covariates
    assert known.embedding is not None
    embedding, embedder = {
        "no column": (None, None),
        "rows of nothing": (np.full_like(known.embedding, np.nan), known.embedder),
        "another model's": (known.embedding, "e-2"),
    }[lost]
    without = replace(later, covariates=replace(known, embedding=embedding, embedder=embedder))
    for part in of_lengths(without, first=ASKED, size=500, seed=5):
        outcomes += fold.add(part)
    assert outcomes == []
    longer = asking(500, shares=(0, 0, 1, 1), seed=6, first=ASKED + 1000, embedding_dimensions=8)
    drifted = replace(longer, covariates=replace(longer.covariates, embedding=None, embedder=None))
    for part in of_lengths(drifted, first=ASKED + 1000, size=500, seed=6, longer=0.5):
        outcomes += fold.add(part)
    found = {item.stream.signal for item in outcomes if isinstance(item, Decision) and item.severity is Severity.ALERT}
    assert found == {"response_length"}


def test_where_the_log_is_cut_changes_not_which_models_share_a_stream_where_the_mix_has_streams_of_its_own() -> None:
    later = asking(MAX_POLICY_MODELS * 20, seed=5, first=ASKED)
    (whole,) = of_lengths(later, first=ASKED, size=len(later), seed=5)
    (lengths,) = whole.observations
    models = np.arange(len(later)) // 20
    batches = tuple(_of_model(lengths, f"m{number:03}", models == number) for number in range(MAX_POLICY_MODELS))
    followed = []
    for size in (len(later), 20):
        fold = Fold(of_prompts(), RULES)
        for start, part in zip(
            range(0, len(later), size), of_lengths(later, first=ASKED, size=size, seed=5), strict=True
        ):
            cut = (batch.between(ASKED + start, ASKED + start + size) for batch in batches)
            fold.add(replace(part, observations=tuple(batch for batch in cut if len(batch.places))))
        followed.append({key.policy_model for key in fold.streams if key.signal == "response_length"})
    assert followed[0] == followed[1]
    assert OTHER not in followed[0]


def test_prompts_without_a_label_have_no_mix_of_their_own_beside_that_of_all() -> None:
    asked = asking(ASKED, cohorts=(UNLABELLED,))
    values = np.exp(asked.log_length() + np.random.default_rng(1).normal(0, 0.3, ASKED))
    window = Window("response_length", "1", list(asked.cohorts), ["m"] * ASKED, values, np.arange(ASKED))
    frozen = build_baseline([window], NullRule(), first_place=0, stop_place=ASKED, subjects=subjects_of(asked))
    fold = Fold(frozen, RULES)
    later = asking(300, shares=(0, 0, 0, 1), seed=5, first=ASKED, cohorts=(UNLABELLED,))
    (part,) = of_lengths(later, first=ASKED, size=300, seed=5)
    assert {outcome.stream.cohort for outcome in fold.add(part)} == {ALL}
    assert {key.cohort for key in fold.streams} == {ALL}


def test_lengths_that_were_all_the_same_may_change_by_what_is_accepted_without_a_page() -> None:
    asked, later = asking(ASKED), asking(6000, seed=5, first=ASKED)
    window = Window("response_length", "1", list(asked.cohorts), ["m"] * ASKED, np.full(ASKED, 50.0), np.arange(ASKED))
    frozen = build_baseline([window], NullRule(), first_place=0, stop_place=ASKED, subjects=subjects_of(asked))
    found = {}
    for length in (51.0, 70.0):
        (part,) = of_lengths(later, first=ASKED, size=len(later), seed=5)
        (lengths,) = part.observations
        same = replace(part, observations=(replace(lengths, values=np.full(len(later), length)),))
        outcomes = Fold(frozen, RULES).add(same)
        found[length] = {
            item.severity for item in outcomes if isinstance(item, Decision) and item.stream.signal != "input_shift"
        }
    assert found == {51.0: {Severity.WARNING}, 70.0: {Severity.WARNING, Severity.ALERT}}


def test_an_alert_ends_though_some_prompts_bounds_lie_where_no_mean_can() -> None:
    """The share of long answers is bounded below zero for prompts that never had one."""
    detector, rows = EDetector((1.0,), 2), 4000
    upper, values = np.full((rows, 2, 1), 0.3), np.full((rows, 1), 0.2)
    upper[::2], values[::2] = -0.01, 0.0
    null = NullIntervals(np.full_like(upper, -1.0), upper, np.full((rows, 1), 0.3), np.ones(rows))
    key = StreamKey("response_length", ALL, "m", "1")
    follower = Follower(key, detector, {Severity.WARNING: 1000.0, Severity.ALERT: 10_000.0}, 2000)
    open_alert = Episode(Severity.ALERT, 0, 2000, up=True, channel=0, returned=State.empty(2 * BETS))
    day = StreamDay(1, Pace(1.0, 1), 10_000.0, np.zeros(1))
    stream = Stream(detector.empty(), 0, 0.0, AT, day, 0, open_alert)
    _, found = follower.advance(stream, Rows.of(detector, values, null, np.arange(rows)))
    assert isinstance(found[0], Recovery)
