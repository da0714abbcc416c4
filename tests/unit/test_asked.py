"""What was asked: told apart from the answers, staked less where it moved, and the same however it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.domain.alarm import Recovery, Severity
from monitor.domain.cohort import ALL
from monitor.domain.covariates import LANGUAGES
from monitor.domain.observation import ObservationBatch, PlacedEntry, Series, Source, moment_of
from monitor.domain.stream import StreamKey, StreamNumbers
from monitor.drift.asked import read_asked, shift_key, staked
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget
from monitor.drift.fold import Fold, FoldRules, restore, store
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.drift.status import status_of
from monitor.drift.stream import Decision
from tests.prompts import KINDS, SHARES, Asking, asking, subjects_of

Floats = NDArray[np.float64]
BASELINE = 1500
RULES = FoldRules(Budget(average_run_length=10_000.0))
LENGTH = Series("response_length", "m", "words")
ESSAYS = (0.1, 0.1, 0.6, 0.2)  # shares of the kinds, long ones among them


def lengths(asked: Asking, *, seed: int, longer: float = 1.0) -> Floats:
    """Return the answers' lengths: set by the kind of prompt, and times *longer*."""
    noise = np.random.default_rng(seed).normal(0.0, 0.4, len(asked))
    return np.round(np.exp(asked.log_length() + noise) * longer)


@cache
def frozen() -> Baseline:
    asked = asking(BASELINE)
    names = list(asked.cohorts), ["m"] * BASELINE
    window = Window("response_length", "words", *names, lengths(asked, seed=1), np.arange(BASELINE))
    return build_baseline([window], NullRule(), first_place=0, stop_place=BASELINE, subjects=subjects_of(asked))


def entries(
    asked: Asking, values: Floats, cuts: Sequence[int] = (), *, first: int = BASELINE, known: bool = True
) -> list[PlacedEntry]:
    """Return the log of *asked*, an entry between two cuts; *known*: with the covariates."""
    found = []
    for sequence, (start, stop) in enumerate(pairwise([0, *sorted(cuts), len(asked)])):
        covariates, places = asked.covariates.between(start, stop), np.arange(start, stop) + first
        batch = ObservationBatch(
            LENGTH, covariates.cohorts, covariates.cohort_codes, places, np.asarray(values[start:stop])
        )
        at = moment_of(int(asked.timestamps[-1]))
        found.append(
            PlacedEntry(
                source=Source.TRACES,
                sequence=sequence,
                first_place=first + start,
                places=stop - start,
                at=at,
                last_timestamp=at,
                observations=(batch,) if stop > start else (),
                timestamps=asked.timestamps[start:stop],
                covariates=covariates if known else None,
            )
        )
    return found


def folded(log: Sequence[PlacedEntry], baseline: Baseline, *, restart: bool = False) -> tuple[Fold, list[Decision]]:
    fold, outcomes = Fold(baseline, RULES), list[Decision | Recovery]()
    for item in log:
        outcomes += fold.add(item)
        if restart:
            resumed = Fold(baseline, RULES)
            restore(resumed, store(fold, fold.streams))
            fold = resumed
    return fold, [outcome for outcome in outcomes if isinstance(outcome, Decision)]


def told(decisions: Sequence[Decision]) -> list[tuple[object, ...]]:
    rows = [(row.stream, row.severity, row.direction, row.place, row.onset_place) for row in decisions]
    return sorted(rows, key=str)


MOVING = asking(700, shares=ESSAYS, seed=5, first=BASELINE)
MOVING_LENGTHS = lengths(MOVING, seed=6, longer=1.5)


def test_other_prompts_raise_an_input_shift_and_no_page_and_other_answers_to_them_page() -> None:
    for longer, paged in ((1.0, set()), (1.6, {"response_length"})):
        for seed in range(3):
            asked = asking(1500, shares=ESSAYS, seed=seed, first=BASELINE)
            _, decisions = folded(entries(asked, lengths(asked, seed=seed + 10, longer=longer)), frozen())
            shifts = [row for row in decisions if row.stream.signal == "input_shift"]
            assert ALL in {row.stream.cohort for row in shifts}
            assert {row.severity for row in shifts} == {Severity.WARNING}
            assert {row.stream.signal for row in decisions if row.severity is Severity.ALERT} == paged


def test_prompts_and_answers_that_stay_as_they_were_raise_nothing() -> None:
    for seed in range(4):
        asked = asking(1500, seed=seed + 20, first=BASELINE)
        _, decisions = folded(entries(asked, lengths(asked, seed=seed)), frozen())
        assert [row.stream for row in decisions if row.severity is Severity.ALERT] == []
        assert [row.stream for row in decisions if row.stream.signal == "input_shift"] == []


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, len(MOVING)), max_size=5), st.booleans())
def test_where_the_log_is_cut_changes_neither_the_mixes_nor_what_leans_nor_a_decision(
    cuts: list[int], restart: bool
) -> None:
    whole, expected = folded(entries(MOVING, MOVING_LENGTHS), frozen())
    fold, decisions = folded(entries(MOVING, MOVING_LENGTHS, cuts), frozen(), restart=restart)
    assert told(decisions) == told(expected)
    assert fold.mixes.keys() == whole.mixes.keys() == {shift_key(cohort) for cohort in (ALL, "a", "b")}
    for key, mix in whole.mixes.items():
        np.testing.assert_allclose(fold.mixes[key].shares, mix.shares, atol=1e-12)
    assert {key: fold.leans[key] for key in whole.leans} == pytest.approx(whole.leans, abs=1e-12)
    for key, stream in whole.streams.items():
        assert fold.streams[key].observations == stream.observations
        assert fold.streams[key].mean == pytest.approx(stream.mean)
        assert fold.evidence_log(key) == pytest.approx(whole.evidence_log(key), abs=1e-9)


def test_a_baseline_that_was_stored_folds_to_the_same_numbers() -> None:
    content = msgspec.json.decode(msgspec.json.encode(frozen().to_json()))
    again = Baseline.from_json(0, BASELINE, content)
    one, other = (folded(entries(MOVING, MOVING_LENGTHS), law) for law in (frozen(), again))
    assert told(one[1]) == told(other[1])
    assert [one[0].evidence_log(key) for key in sorted(one[0].streams)] == [
        other[0].evidence_log(key) for key in sorted(other[0].streams)
    ]


def test_a_cohort_that_the_window_did_not_hold_is_not_bet_on_and_its_prompts_are_of_no_known_kind() -> None:
    asked = asking(400, seed=3, cohorts=("a", "new"), first=BASELINE)
    fold, _ = folded(entries(asked, lengths(asked, seed=3)), frozen())
    followed = {key.cohort: stream.observations for key, stream in fold.streams.items() if key.signal != "input_shift"}
    assert followed == {ALL: asked.cohorts.count("a"), "a": asked.cohorts.count("a")}
    assert {key.cohort for key in fold.mixes} == {ALL, "a"}
    assert fold.mixes[shift_key(ALL)].shares[-1] > 0.25


def test_prompts_in_a_language_that_the_window_did_not_hold_are_of_no_known_kind() -> None:
    asked, law = asking(200), frozen().prompts
    assert law is not None
    assert law.kinds is not None
    foreign = replace(asked.covariates, languages=np.full(200, LANGUAGES.index("fi"), dtype=np.uint8))
    guessed = law.kinds.of(law.encoder, law.encoder.columns(foreign, asked.timestamps), foreign)
    usual = law.kinds.of(law.encoder, law.encoder.columns(asked.covariates, asked.timestamps), asked.covariates)
    assert (guessed == law.kinds.count - 1).all()
    assert (usual == law.kinds.count - 1).mean() < 0.05


def test_a_burst_of_one_kind_of_prompt_is_staked_less_until_it_counts_no_more_than_it_used_to() -> None:
    burst = asking(300, shares=(0.0, 0.0, 0.0, 1.0), seed=2, first=BASELINE)
    (entry,) = entries(burst, lengths(burst, seed=2))
    moved = read_asked(entry, frozen(), {}).moved
    assert moved is not None
    assert moved.stakes[:3].min() > 0.9
    assert moved.distance[0] == 0.0
    assert moved.distance[100:].min() > 0.6
    assert moved.stakes[-50:].max() == 0.0  # so far from the window that it says nothing of what to expect
    usual = asking(300, seed=4, first=BASELINE)
    (entry,) = entries(usual, lengths(usual, seed=4))
    moved = read_asked(entry, frozen(), {}).moved
    assert moved is not None
    assert moved.stakes.mean() > 0.8
    often = np.array([1.0, 3.0, 30.0])
    assert staked(often, np.zeros(3)) == pytest.approx([1.0, 0.5, 0.05])


@pytest.mark.parametrize("known", ["the log's", "the baseline's", "nobody's"])
def test_where_it_is_not_known_what_was_asked_the_values_are_bet_on_by_themselves(known: str) -> None:
    asked = asking(600, seed=8, first=BASELINE)
    baseline = frozen() if known == "the baseline's" else without_prompts()
    log = entries(asked, lengths(asked, seed=8), known=known == "the log's")
    fold, decisions = folded(log, baseline)
    assert {key.cohort: stream.observations for key, stream in fold.streams.items()} == {
        ALL: 600,
        "a": asked.cohorts.count("a"),
        "b": asked.cohorts.count("b"),
    }
    assert [row for row in decisions if row.severity is Severity.ALERT] == []
    assert fold.mixes == {}


@cache
def without_prompts() -> Baseline:
    asked = asking(BASELINE)
    names = list(asked.cohorts), ["m"] * BASELINE
    window = Window("response_length", "words", *names, lengths(asked, seed=1), np.arange(BASELINE))
    subjects = replace(subjects_of(asked), covariates=None)
    return build_baseline([window], NullRule(), first_place=0, stop_place=BASELINE, subjects=subjects)


@pytest.mark.parametrize("lacking", ["prompts", "kinds", "everything but the length"])
def test_windows_and_logs_of_one_kind_of_prompt_and_of_none_stay_finite(lacking: str) -> None:
    def poorer(asked: Asking) -> Asking:
        nothing = np.full(len(asked), np.nan)
        plain = replace(
            asked.covariates,
            sketch=np.empty(0, np.uint16),
            sketch_starts=np.zeros(len(asked) + 1, np.int64),
            prompt_words=nothing,
            input_tokens=nothing if lacking == "prompts" else asked.covariates.input_tokens,
        )
        return asked if lacking == "kinds" else replace(asked, covariates=plain)

    shares = (1.0, 0.0, 0.0, 0.0) if lacking == "kinds" else SHARES
    asked = poorer(asking(200, shares=shares, cohorts=("a",)))
    windows = [
        Window(signal, "words", list(asked.cohorts), ["m"] * 200, np.zeros(200), np.arange(200))
        for signal in ("response_length", "refusal", "reward")
    ]
    baseline = build_baseline(windows, NullRule(), first_place=0, stop_place=200, subjects=subjects_of(asked))
    later = poorer(asking(300, shares=shares, cohorts=("a",), seed=9, first=200))
    for values in (np.zeros(300), lengths(later, seed=1)):
        log = entries(later, values, (0, 1, 1, 150), first=200)
        fold, _ = folded(log, baseline, restart=True)
        for key, stream in fold.streams.items():
            assert np.isfinite(stream.mean)
            assert not np.isnan(fold.evidence_log(key))


def test_the_mix_of_prompts_is_shown_as_a_stream_whose_distance_was_nothing() -> None:
    key, at = shift_key(ALL), datetime(2025, 3, 1, tzinfo=UTC)
    status = status_of(key, frozen(), StreamNumbers(700, 0.3, at, 1.2))
    assert status is not None
    assert (status.mean, status.baseline_mean, status.unit, status.is_steady) == (0.3, 0.0, "distance", True)
    assert status_of(StreamKey("refusal", ALL, "m", "1"), frozen(), StreamNumbers(1, 0.0, at, 0.0)) is None


def test_kinds_are_named_by_what_their_prompts_are_like() -> None:
    prompts = frozen().prompts
    assert prompts is not None
    assert prompts.kinds is not None
    assert len(prompts.kinds.names) > len(KINDS)
    assert all("input tokens" in name for name in prompts.kinds.names[:-1])
