"""A batch's observations become rows of the log: complete, in order, and none of a repeat."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from monitor.domain.observation import ObservationBatch
from monitor.domain.score import Reward
from monitor.observe.gather import ObservedTrace, gather
from tests.traces import REFUSAL, trace


def item(number: int, *, cohort: str = "a", repeated: bool = False, **changes: object) -> ObservedTrace:
    return ObservedTrace(trace(number, **changes), cohort, repeated)


def rows(batch: ObservationBatch) -> list[tuple[int, str, float]]:
    names = [batch.cohorts[code] for code in batch.cohort_codes]
    return list(zip(batch.places.tolist(), names, batch.values.tolist(), strict=True))


def test_each_signal_has_one_row_with_every_trace_s_place_cohort_and_value() -> None:
    batches = gather([item(0, cohort="b"), item(1, response=REFUSAL), item(2, cohort="b")]).observations
    refusal = next(batch for batch in batches if batch.series.signal == "refusal")
    answered, refused = sorted(set(refusal.values.tolist()))
    assert rows(refusal) == [(0, "b", answered), (1, "a", refused), (2, "b", answered)]
    assert answered < 0.1
    assert refused > 0.9
    assert refusal.cohorts == ("a", "b")
    assert [batch.series.signal for batch in batches] == ["error", "refusal", "response_length", "truncation"]


def test_a_repeat_keeps_its_place_and_is_not_observed() -> None:
    batches = gather([item(0), item(1, repeated=True), item(2)]).observations
    assert {tuple(batch.places.tolist()) for batch in batches} == {(0, 2)}
    assert gather([item(0, repeated=True)]).observations == ()


def test_policy_models_and_scorers_are_kept_in_rows_of_their_own() -> None:
    reward = Reward("v1", (0.5,), 0.5, 0.5, 0.0)
    scored = [
        structs.replace(item(0), reward=reward),
        structs.replace(item(1), reward=replace(reward, scorer_version="v2")),
    ]
    scored.append(item(2, policy_model="new"))
    keys = [
        (batch.series.policy_model, batch.series.scorer_version)
        for batch in gather(scored).observations
        if batch.series.signal == "reward"
    ]
    assert keys == [("phi-2", "v1"), ("phi-2", "v2")]
    errors = [batch for batch in gather(scored).observations if batch.series.signal == "error"]
    assert [(batch.series.policy_model, batch.places.tolist()) for batch in errors] == [("new", [2]), ("phi-2", [0, 1])]


def test_an_empty_batch_has_no_rows() -> None:
    assert gather([]).observations == ()
