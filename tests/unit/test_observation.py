"""A batch's observations become rows of the log: complete, in order, and none of a repeat."""

from __future__ import annotations

from dataclasses import replace

from monitor.domain.score import Reward
from monitor.pipeline.observation import ScoredTrace, StreamBatch, stream_batches
from tests.traces import REFUSAL, trace


def item(number: int, *, cohort: str = "a", repeated: bool = False, **changes: object) -> ScoredTrace:
    return ScoredTrace(trace(number, **changes), cohort, repeated)


def rows(batch: StreamBatch) -> list[tuple[int, str, float]]:
    names = [batch.cohorts[code] for code in batch.cohort_codes]
    return list(zip(batch.ordinals.tolist(), names, batch.values.tolist(), strict=True))


def test_each_signal_has_one_row_with_every_trace_s_place_cohort_and_value() -> None:
    batches = stream_batches([item(0, cohort="b"), item(1, response=REFUSAL), item(2, cohort="b")])
    refusal = next(batch for batch in batches if batch.signal == "refusal")
    assert rows(refusal) == [(0, "b", 0.0), (1, "a", 1.0), (2, "b", 0.0)]
    assert refusal.cohorts == ("a", "b")
    assert [batch.signal for batch in batches] == ["error", "refusal", "response_length", "truncation"]


def test_a_repeat_keeps_its_place_and_is_not_observed() -> None:
    batches = stream_batches([item(0), item(1, repeated=True), item(2)])
    assert {tuple(batch.ordinals.tolist()) for batch in batches} == {(0, 2)}
    assert stream_batches([item(0, repeated=True)]) == []


def test_policy_models_and_scorers_are_kept_in_rows_of_their_own() -> None:
    reward = Reward("v1", (0.5,), 0.5, 0.5, 0.0)
    scored = [replace(item(0), reward=reward), replace(item(1), reward=replace(reward, scorer_version="v2"))]
    scored.append(item(2, policy_model="new"))
    keys = [(batch.policy_model, batch.scorer_version) for batch in stream_batches(scored) if batch.signal == "reward"]
    assert keys == [("phi-2", "v1"), ("phi-2", "v2")]
    errors = [batch for batch in stream_batches(scored) if batch.signal == "error"]
    assert [(batch.policy_model, batch.ordinals.tolist()) for batch in errors] == [("new", [2]), ("phi-2", [0, 1])]


def test_an_empty_batch_has_no_rows() -> None:
    assert stream_batches([]) == []
