"""From records to a checkpoint: what is counted, what is scored, and what is only stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from monitor.domain.score import Reward
from monitor.domain.trace import Message, ReportedScores
from monitor.ingest.record import Record
from monitor.observe.scoring import RewardRule, Scored, score_traces
from monitor.observe.step import ObserveRules
from monitor.pipeline.checkpoint import Checkpoint
from monitor.telemetry.metrics import Metrics
from tests.traces import START, line, trace
from tests.unit.memory import NOW, InMemoryCheckpoints, builder, lines, router

PREFERENCE = (
    b'{"preference_id": "p-1", "timestamp": "2025-03-01T05:00:00Z", "messages": [{"role": "user", "content": "Q"}],'
    b' "chosen": "A", "rejected": "B", "cohort": {"dataset": "koala"}}'
)


@dataclass
class Scripted:
    """Scores a response by its length; keeps what it was asked."""

    asked: list[tuple[Sequence[Message], str]] = field(default_factory=list)

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]:
        self.asked += rows
        scores = [float(len(response)) for _, response in rows]
        return [None if score > 50 else Reward("v1", (score,), score, score, 0.0) for score in scores]


def built(
    values: Sequence[bytes | None],
    *,
    topic: str = "traces",
    store: InMemoryCheckpoints | None = None,
    model: Scripted | None = None,
) -> Checkpoint:
    made = builder(store or InMemoryCheckpoints(), metrics=Metrics(CollectorRegistry()), reward_model=model)
    records = [Record(topic, 0, 10 * number, None, value) for number, value in enumerate(values)]
    return made.build(router().decode(records, NOW), {})


def test_good_bad_and_doubled_records_are_told_apart_and_keep_their_offsets() -> None:
    checkpoint = built([*lines(0), b"{", *lines(1, 0), None])
    assert [item.trace.trace_id for item in checkpoint.observed.traces] == ["t-0", "t-1"]
    assert checkpoint.positions == [("traces", 0, 0), ("traces", 0, 20)]
    assert checkpoint.duplicates == 1
    assert checkpoint.dead_letters == {"not_json": 1, "empty_record": 1}


def test_a_trace_that_is_stored_already_is_a_duplicate_and_scored_no_more() -> None:
    store, model = InMemoryCheckpoints(), Scripted()
    store.write(built(lines(0, 1)))
    checkpoint = built(lines(1, 2), store=store, model=model)
    assert [item.trace.trace_id for item in checkpoint.observed.traces] == ["t-2"]
    assert len(model.asked) == 1


def test_a_prompt_that_was_counted_in_an_earlier_batch_is_a_repeat_and_stored_unobserved() -> None:
    store = InMemoryCheckpoints()
    store.write(built(lines(0)))
    again = trace(9, messages=trace(0).messages, timestamp=START + timedelta(minutes=59))
    checkpoint = built([line(again), *lines(1)], store=store)
    assert [item.repeated for item in checkpoint.observed.traces] == [True, False]
    assert set(checkpoint.observed.counted_keys) == set(trace(1).repeat_keys())
    assert {tuple(batch.places.tolist()) for batch in checkpoint.observed.entry.observations} == {(1,)}


def test_the_producer_s_own_scores_are_taken_where_it_keeps_its_texts_to_itself() -> None:
    scores = ReportedScores(0.5)
    silent = trace(0, response=None, messages=(), reward_scores=scores)
    failed = trace(1, response=None, error="500", reward_scores=scores)
    found = score_traces([silent, failed], None, RewardRule())
    assert [one.reward is not None for one in found] == [True, False]


def test_a_text_that_was_cut_is_not_scored_as_if_it_were_whole() -> None:
    model = Scripted()
    found = score_traces([trace(0, truncated=True), trace(1)], model, RewardRule())
    assert ([one.reward is not None for one in found], len(model.asked)) == ([False, True], 1)


def test_only_answers_are_scored_and_one_that_cannot_be_has_no_reward() -> None:
    model = Scripted()
    values = [line(trace(0), response=None, error="500"), line(trace(1)), line(trace(2), response="x" * 51)]
    checkpoint = built(values, model=model)
    assert [response for _, response in model.asked] == ["Answer 1.", "x" * 51]
    assert [item.reward.mean if item.reward else None for item in checkpoint.observed.traces] == [None, 9.0, None]
    assert all(item.reward is None for item in built(values).observed.traces)


def test_a_reference_response_is_scored_in_the_same_call_and_a_repeat_s_not_at_all() -> None:
    model = Scripted()
    pair = line(trace(0), reference_response="None.")
    again = line(trace(1, messages=trace(0).messages), reference_response="None.")
    too_long = line(trace(2), reference_response="x" * 51)
    checkpoint = built([pair, again, too_long, line(trace(3))], model=model)
    answers = [f"Answer {number}." for number in range(4)]
    assert [response for _, response in model.asked] == [*answers, "None.", "x" * 51]
    assert all(item.reward is not None for item in checkpoint.observed.traces)
    wins = [batch for batch in checkpoint.observed.entry.observations if batch.series.signal == "reward_win"]
    assert [(batch.places.tolist(), batch.series.scorer_version) for batch in wins] == [([0], "v1")]
    assert wins[0].values[0] == pytest.approx(1.0 / (1.0 + np.exp(-4.0)))


def test_a_trace_s_own_scores_count_only_where_no_reward_model_is() -> None:
    both, alone = {"policy": 1.2, "reference": 0.4}, {"policy": -3}
    values = [line(trace(0), reward_scores=both), line(trace(1), reward_scores=alone), line(trace(2))]
    series = {
        (batch.series.signal, batch.series.scorer_version): batch.values.tolist()
        for batch in built(values).observed.entry.observations
    }
    assert series["reward", "reported"] == [1.2, -3.0]
    assert series["reward_win", "reported"] == pytest.approx([1.0 / (1.0 + np.exp(-0.8))])
    assert not [signal for signal, _ in series if signal == "disagreement"]
    scored = built(values, model=Scripted()).observed.entry.observations
    assert {batch.series.scorer_version for batch in scored if batch.series.signal == "reward"} == {"v1"}
    quiet = ObserveRules(rewards=RewardRule(takes_reported=False))
    assert score_traces([trace(0, reward_scores=ReportedScores(1.0))], None, quiet.rewards) == [Scored()]


def test_a_preference_is_read_from_its_own_topic_alone() -> None:
    ((preference, cohort),) = built([PREFERENCE], topic="preferences").preferences
    assert (preference.preference_id, cohort) == ("p-1", "dataset=koala")
    assert built([PREFERENCE]).dead_letters == {"missing_field": 1}
    assert built(lines(0), topic="preferences").dead_letters == {"missing_field": 1}
