"""The fold: who bets against what, when it decides, and that it may be interrupted anywhere."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, Severity
from monitor.domain.cohort import ALL, OTHER, UNLABELLED
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline, NullRule, Window, build_baseline
from monitor.drift.fold import MAX_POLICY_MODELS, Decision, Fold, in_fold_order
from monitor.drift.log import ObservationBatch, excerpt_of

AT = datetime(2025, 3, 1, tzinfo=UTC)
BASELINE = 400
RUN_LENGTH = 10_000.0
COHORTS = ("a", "b", UNLABELLED)


def batch(values: NDArray[np.float64], *, first: int = BASELINE, policy_model: str = "m") -> ObservationBatch:
    codes = np.arange(first, first + len(values)) % len(COHORTS)
    return ObservationBatch(
        signal="refusal",
        policy_model=policy_model,
        scorer_version="1",
        cohorts=COHORTS,
        cohort_codes=codes.astype(np.int32),
        indices=np.arange(first, first + len(values)),
        values=values,
        timestamp=AT,
    )


def binary(n: int, mean: float, seed: int = 0) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random(n) < mean).astype(float)


def baseline() -> Baseline:
    window = Window("refusal", "1", [COHORTS[n % 3] for n in range(BASELINE)], ["m"] * BASELINE, binary(BASELINE, 0.1))
    return build_baseline([window], NullRule(), first_index=0, stop_index=BASELINE)


DRIFTING = np.concatenate((binary(300, 0.1, 1), binary(600, 0.5, 2)))


def folded(cuts: list[int], *, restart: bool = False) -> tuple[Fold, list[Decision]]:
    fold, decisions = Fold(baseline(), average_run_length=RUN_LENGTH), []
    edges = [0, *sorted(cuts), len(DRIFTING)]
    for number, start in enumerate(edges[:-1]):
        decisions += fold.add(batch(DRIFTING[start : edges[number + 1]], first=BASELINE + start))
        if restart:
            resumed = Fold(baseline(), average_run_length=RUN_LENGTH)
            resumed.detectors |= fold.detectors
            fold = resumed
    return fold, in_fold_order(decisions)


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
        assert (found.stream, found.severity, found.trace_index, found.onset_index, found.observations) == (
            wanted.stream,
            wanted.severity,
            wanted.trace_index,
            wanted.onset_index,
            wanted.observations,
        )
    for key, detector in whole.detectors.items():
        assert fold.detectors[key].observations == detector.observations
        assert fold.detectors[key].mean == pytest.approx(detector.mean)


def test_each_stream_warns_before_it_alerts_once_each_and_in_the_drift_s_direction() -> None:
    _, decisions = folded([])
    for cohort in (ALL, "a", "b"):
        mine = [decision for decision in decisions if decision.stream.cohort == cohort]
        assert [decision.severity for decision in mine] == [Severity.WARNING, Severity.ALERT]
        assert {decision.direction for decision in mine} == {Direction.UP}
        assert [decision.evidence_log >= 1.0 for decision in mine] == [False, True]
        assert all(abs(decision.onset_index - (BASELINE + 300)) < 100 for decision in mine)


def test_traces_without_a_label_count_in_the_roll_up_and_have_no_stream_of_their_own() -> None:
    fold, _ = folded([])
    observed = {key.cohort: detector.observations for key, detector in fold.detectors.items()}
    assert observed == {ALL: 900, "a": 300, "b": 300}


def test_traces_of_the_baseline_and_of_signals_without_a_law_are_passed_over() -> None:
    fold = Fold(baseline(), average_run_length=RUN_LENGTH)
    assert fold.add(batch(binary(BASELINE + 30, 0.1), first=0)) == []
    assert fold.detectors[StreamKey("refusal", ALL, "m", "1")].observations == 30
    unknown = Fold(Baseline(0, 0, ()), average_run_length=RUN_LENGTH)
    assert unknown.add(batch(DRIFTING)) == []
    assert unknown.detectors == {}


def test_policy_models_past_the_cap_share_one_stream_that_does_not_depend_on_who_came_first() -> None:
    fold = Fold(baseline(), average_run_length=RUN_LENGTH)
    for number in range(MAX_POLICY_MODELS + 3):
        fold.add(batch(binary(30, 0.1), policy_model=f"m{number:03}"))
    assert len({key.policy_model for key in fold.detectors}) == MAX_POLICY_MODELS + 1
    assert fold.detectors[StreamKey("refusal", ALL, OTHER, "1")].observations == 3 * 30


def test_an_excerpt_is_the_stream_s_own_observations_between_two_traces() -> None:
    batches = [batch(np.arange(6.0), first=0), batch(np.arange(6.0, 12.0), first=6)]
    cut = excerpt_of(batches, StreamKey("refusal", "a", "m", "1"), 3, 10)
    assert (cut.indices.tolist(), cut.values.tolist(), list(cut.cohorts)) == ([3, 6, 9], [3.0, 6.0, 9.0], ["a"] * 3)
    assert len(excerpt_of(batches, StreamKey("refusal", ALL, "m", "1"), 3, 10).values) == 7
    assert len(excerpt_of(batches, StreamKey("refusal", ALL, "m", "2"), 0, 12).values) == 0
