"""What goes with the reward, through the database and at the terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from msgspec import structs

from monitor.domain.score import Reward
from monitor.ingest.offset import StoredOffset
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from tests.commands import Run
from tests.traces import checkpoint, drifting, scored

pytestmark = pytest.mark.postgres
COUNT = 600


def test_a_reward_that_follows_length_is_told_at_the_terminal(run: Run, postgres_url: str) -> None:
    run("--version", POSTGRES__URL=postgres_url)
    assert "nothing to compare" in run("drift", "correlations").out
    traces = [structs.replace(one, policy_model="phi-2\x1b[2J") for one in drifting(COUNT, change=COUNT)]
    noise = np.random.default_rng(1).normal(size=COUNT)
    rewards = [
        Reward("s-1", (mean := float(np.log(one.output_tokens or 1) + 0.2 * extra),), mean, mean, 0.0)
        for one, extra in zip(traces, noise, strict=True)
    ]
    engine = create_engine_for(postgres_url)
    try:
        store = PostgresCheckpoints(engine, group_id="g", max_cohorts=50)
        store.begin({("traces", 0): StoredOffset(0)})
        store.write(checkpoint(scored(traces, rewards=rewards)))
        PostgresFoldStore(engine).place_entries()
    finally:
        engine.dispose()
    (row,) = json.loads(run("drift", "correlations", "--json").out)
    assert (row["signal"], row["scorer_version"], row["baseline"], row["has_moved"]) == (
        "response_length", "s-1", None, False,
    )  # fmt: skip
    assert row["current"]["pairs"] == COUNT
    assert row["current"]["lower"] > 0.8
    shown = run("drift", "correlations").out
    assert "response_length" in shown
    assert "\x1b[2J" not in shown
