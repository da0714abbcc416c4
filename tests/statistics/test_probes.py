"""Probes of a model that has not changed alarm within the budget, though the same items come again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitor.domain.observation import PlacedEntry, Series
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule, build_signal_baseline
from monitor.drift.log import windows_of
from monitor.drift.stream import Decision
from monitor.probes.run import Outcome, draw, entry_of
from monitor.probes.suite import PACKAGED, read_suite
from monitor.signals.probe import OVER_REFUSAL

SUITE = read_suite(PACKAGED["over_refusal"], "over_refusal")
START = datetime(2026, 11, 1, tzinfo=UTC)
LAW_RUNS, ITEMS = 5, 40
SERIES = Series(OVER_REFUSAL.name, "chat-1", "1")


def probed(refusals: Sequence[float], *, runs: int, seed: int, first: int = 0) -> list[PlacedEntry]:
    """Return hourly runs of a model that refuses each item of the suite with its probability."""
    random, chance = np.random.default_rng(seed), dict(zip(SUITE.by_id(), refusals, strict=True))
    entries = []
    for run in range(first, first + runs):
        at = START + timedelta(hours=run)
        items = draw(SUITE, ITEMS, seed=f"{seed}/{run}")
        outcomes = [Outcome(item.item_id, float(random.random() < chance[item.item_id]), at) for item in items]
        entry = entry_of(SUITE.name, outcomes, series=SERIES)
        entries.append(entry.placed(sequence=run + 1, first_place=run * ITEMS, at=at))
    return entries


def alerts(entries: Sequence[PlacedEntry]) -> list[int]:
    """Return after how many runs past those of the law each page came."""
    own = [batch for entry in entries[:LAW_RUNS] for batch in entry.observations]
    law = build_signal_baseline(next(windows_of(own, {OVER_REFUSAL.name})), NullRule(), None)
    assert law is not None
    frozen = Baseline(0, 0, (replace(law, since=LAW_RUNS * ITEMS, days=LAW_RUNS / 24.0),))
    fold = Fold(frozen, FoldRules(Budget()))
    return [
        number - LAW_RUNS + 1
        for number, entry in enumerate(entries)
        for found in fold.add(entry)
        if isinstance(found, Decision) and found.severity == "alert"
    ]


@pytest.mark.parametrize("sampled", [False, True], ids=["the same answers each time", "answers by chance"])
def test_an_unchanged_model_pages_no_more_often_than_the_budget_allows(sampled: bool) -> None:
    sites, days, pages = 20, 5, 0
    for seed in range(sites):
        random = np.random.default_rng(1_000 + seed)
        rates = random.beta(0.3, 2.7, len(SUITE.items))
        refusals = rates if sampled else (random.random(len(rates)) < 0.1).astype(float)
        pages += len(alerts(probed(refusals.tolist(), runs=LAW_RUNS + 24 * days, seed=seed)))
    allowed = sites * days / 30.0  # one page in thirty days
    assert pages <= allowed + 2.0 * allowed**0.5


def test_a_model_that_refuses_five_times_as_often_is_found_within_a_few_runs() -> None:
    usual, worse = [0.06] * len(SUITE.items), [0.3] * len(SUITE.items)
    for seed in range(8):
        before = probed(usual, runs=LAW_RUNS + 30, seed=seed)
        after = probed(worse, runs=6, seed=seed, first=LAW_RUNS + 30)
        found = alerts([*before, *after])
        assert found
        assert 30 < found[0] <= 36
