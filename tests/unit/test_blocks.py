"""Blocks of labels: how the log is cut, when a block counts, and what its traces then tell of a rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from monitor.domain.label import LabelSource
from monitor.domain.observation import Series
from monitor.domain.review import ItemState, Queued
from monitor.labels.block import BlockRule, Outcome
from monitor.labels.counting import count_block
from monitor.labels.item import Items, Sampling
from monitor.labels.keeper import BlockKeeper
from monitor.labels.tuning import LENGTH_LABELS, Labelled, Tuning
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.log import InMemoryLog
from monitor.signals.estimand import REFUSAL_ACCURACY, REFUSAL_RATE, REWARD_ACCURACY, WIN_RATE, WIN_RATE_LC
from monitor.signals.table import SIGNALS
from monitor.stats.length_control import CENTRE, length_slope, shortened
from tests.blocks import Told, Traces, WaitingBlocks, settle_all, told_in, traces
from tests.traces import START

NAME, RECTIFIER = WIN_RATE.name, WIN_RATE.rectifier
DAY = timedelta(days=1)
RULE = BlockRule(traces=20, wait=7 * DAY, least_probability=0.05)
STATED = replace(RULE, sampling=Sampling.STATED)
SOME = traces(130)
PLAIN = traces(60, mixed=False, share=0.3)


def logged(given_traces: Traces, cuts: Sequence[int] = ()) -> InMemoryLog:
    log = InMemoryLog()
    for entry in given_traces.entries(cuts):
        log.append(entry)
    return log


def settled(given_traces: Traces, rule: BlockRule = RULE) -> tuple[InMemoryLog, InMemoryBlocks]:
    """Return the log and the blocks of traces whose labels are all there."""
    log = logged(given_traces)
    store = InMemoryBlocks(log, given_traces.labels())
    settle_all(store, rule)
    return log, store


def waiting(given_traces: Traces = PLAIN) -> tuple[InMemoryLog, WaitingBlocks]:
    log = logged(given_traces)
    return log, WaitingBlocks(log)


def outcomes(store: InMemoryBlocks) -> list[Outcome]:
    return [row.outcome for row in store.settled.get(NAME, [])]


@settings(max_examples=40, deadline=None)
@given(cuts=some.sets(some.integers(1, len(SOME) - 1), max_size=30), at_once=some.booleans())
def test_blocks_and_what_they_tell_are_the_same_wherever_the_log_is_cut_into_entries(
    cuts: set[int], at_once: bool
) -> None:
    log = InMemoryLog()
    store = InMemoryBlocks(log, SOME.labels())
    for entry in SOME.entries(cuts):
        log.append(entry)
        if not at_once:
            settle_all(store, RULE)
    settle_all(store, RULE)
    whole_log, whole = settled(SOME)
    assert [row.items.ids for row in store.settled[NAME]] == [row.items.ids for row in whole.settled[NAME]]
    assert told_in(log) == told_in(whole_log)
    assert [row.rows for row in store.settled[NAME]] == [row.rows for row in whole.settled[NAME]]
    assert store.cut(NAME).tuning == whole.cut(NAME).tuning


def test_a_block_holds_as_many_traces_as_wanted_of_those_that_may_be_labelled() -> None:
    _, store = settled(SOME)
    ids = [name for row in store.settled[NAME] for name in row.items.ids]
    assert {len(row.items) for row in store.settled[NAME]} == {RULE.traces}
    assert ids == [f"t-{row}" for row in np.flatnonzero(SOME.eligible)][: len(ids)]
    assert len(ids) == SOME.eligible.sum() // RULE.traces * RULE.traces


def test_fewer_traces_a_block_may_be_wanted_than_an_unfinished_one_has() -> None:
    log, store = waiting()
    BlockKeeper(store, replace(RULE, traces=50)).turn()
    assert store.cut(NAME).eligible == 10
    log.append(PLAIN.entry(0, 0))
    BlockKeeper(store, replace(RULE, traces=8)).turn()
    assert store.cut(NAME).eligible == 10
    log.append(PLAIN.entry(0, 9))
    BlockKeeper(store, replace(RULE, traces=8)).turn()
    cut = store.cut(NAME)
    assert (cut.next_number, cut.first_place, cut.eligible) == (4, 69, 0)


def test_a_block_counts_once_all_of_its_labels_are_there_and_never_before_an_earlier_one() -> None:
    log, store = waiting()
    later, earlier = PLAIN.labels_between(20, 60), PLAIN.labels_between(0, 20)
    store.labels += later
    settle_all(store, RULE)
    assert outcomes(store) == []
    store.labels += earlier[:-1]
    settle_all(store, RULE)
    assert outcomes(store) == []
    store.labels += earlier[-1:]
    settle_all(store, RULE)
    assert outcomes(store) == [Outcome.MATURED] * 3
    assert [row.block.number for row in store.settled[NAME]] == [1, 2, 3]
    assert told_in(log) == told_in(settled(PLAIN)[0])


def test_a_block_waits_for_every_annotator_that_its_items_want() -> None:
    _, store = waiting()
    store.labels += PLAIN.labels()
    first = PLAIN.drawn()[0]
    store.queue[f"t-{first}"] = Queued(ItemState.OPEN, wanted=2)
    settle_all(store, RULE)
    assert outcomes(store) == []
    store.labels.append(PLAIN.label(first, label_id="second", annotator_id="bo", value=0.5))
    settle_all(store, RULE)
    item = store.settled[NAME][0].rows[0]
    assert (item.annotators, item.value) == (2, (PLAIN.verdict[first] + 0.5) / 2.0)


def test_a_block_whose_labels_do_not_come_in_time_is_dropped_whole_and_teaches_nothing() -> None:
    log, store = waiting()
    lacking = PLAIN.drawn()[0]
    store.labels += [label for label in PLAIN.labels() if label.trace_id != f"t-{lacking}"]
    cut_at = log.records[-1].at
    store.at = cut_at + RULE.wait - timedelta(seconds=1)
    settle_all(store, RULE)
    assert outcomes(store) == []
    store.at = cut_at + RULE.wait
    settle_all(store, RULE)
    assert outcomes(store) == [Outcome.MISSING, Outcome.MATURED, Outcome.MATURED]
    dropped, second, _ = store.settled[NAME]
    assert (dropped.missing, dropped.observations, dropped.days) == (1, (), ())
    assert [(item.trace_id, item.value) for item in dropped.rows] == [(f"t-{lacking}", None)]
    assert {item.prediction for item in second.rows} == set(Tuning().predict(second.items.cheap[second.items.selected]))
    assert {name for name, *_ in told_in(log)[NAME, "chat-1", "any"]} == {f"t-{row}" for row in range(20, 60)}


@pytest.mark.parametrize("state", [ItemState.MISSING, ItemState.DONE], ids=["nobody could judge", "by other criteria"])
def test_a_block_is_dropped_at_once_when_an_item_is_asked_of_nobody_any_more(state: ItemState) -> None:
    _, store = waiting()
    store.version = "c-1"
    lacking = PLAIN.drawn()[0]
    store.labels += PLAIN.labels(criteria_version="c-1")
    store.labels[0] = PLAIN.label(lacking, criteria_version="c-2")
    settle_all(store, RULE)
    assert outcomes(store) == []
    store.queue[f"t-{lacking}"] = Queued(state, wanted=1)
    settle_all(store, RULE)
    assert outcomes(store) == [Outcome.MISSING, Outcome.MATURED, Outcome.MATURED]


def test_labels_of_users_and_models_and_of_traces_that_were_not_drawn_settle_nothing() -> None:
    log, store = waiting()
    store.labels += PLAIN.labels(source=LabelSource.USER) + PLAIN.labels(source=LabelSource.AI)
    settle_all(store, RULE)
    assert outcomes(store) == []
    store.labels += PLAIN.labels()
    store.labels += [PLAIN.label(row, value=1.0) for row in range(len(PLAIN)) if not PLAIN.selected[row]]
    settle_all(store, RULE)
    assert told_in(log) == told_in(settled(PLAIN)[0])


def test_criteria_are_those_in_force_when_a_block_was_cut_and_name_its_series() -> None:
    log, store = waiting()
    store.version = "c-1"
    BlockKeeper(store, RULE).turn()
    store.version = "c-2"
    store.labels += PLAIN.labels(criteria_version="c-1")
    settle_all(store, RULE)
    assert {version for signal, _, version in told_in(log) if signal == NAME} == {"c-1"}
    assert {row.criteria_version for block in store.settled[NAME] for row in block.rows} == {"c-1"}


def test_stated_labels_count_where_they_were_drawn_often_enough_once_the_time_is_over() -> None:
    drawn = PLAIN.drawn()
    rare, volunteer = drawn[0], int(np.flatnonzero(~PLAIN.selected)[0])
    log, store = waiting()
    store.labels += PLAIN.labels()
    store.labels[0] = PLAIN.label(rare, inclusion_probability=0.01)
    store.labels.append(PLAIN.label(volunteer, inclusion_probability=None))
    store.labels.append(PLAIN.label(drawn[1], label_id="v", annotator_id="v", inclusion_probability=None, value=0))
    settle_all(store, STATED)
    assert outcomes(store) == []
    store.at = log.records[-1].at + STATED.wait
    settle_all(store, STATED)
    assert outcomes(store) == [Outcome.MATURED] * 3
    counted = {item.trace_id: item.value for block in store.settled[NAME] for item in block.rows}
    assert counted == {f"t-{row}": PLAIN.verdict[row] for row in drawn[1:]}
    assert {inclusion for *_, inclusion in told_in(log)[NAME, "chat-1", "any"]} == {STATED.least_probability}


def test_where_nobody_labels_the_ensemble_s_opinion_is_not_told_as_a_rate() -> None:
    log, store = waiting()
    store.at = log.records[-1].at + STATED.wait
    settle_all(store, STATED)
    assert outcomes(store) == [Outcome.UNLABELLED] * 3
    assert told_in(log) == {}


@pytest.mark.parametrize("first_labels", [3, 60], ids=["few labels ever", "many labels ever"])
def test_where_nobody_labels_any_more_blocks_stop_counting_until_somebody_does(first_labels: int) -> None:
    many = traces(6000, mixed=False, share=0.1)
    log, store = waiting(many)
    last = many.drawn()[first_labels - 1]
    store.labels += many.labels_between(0, last + 1)
    store.labels += many.labels_between(5000, 6000)
    store.at = log.records[-1].at + STATED.wait
    settle_all(store, STATED)
    counted = np.array([outcome is Outcome.MATURED for outcome in outcomes(store)])
    stops = np.arange(1, len(counted) + 1) * STATED.traces
    usual = first_labels / (last // STATED.traces + 1) / STATED.traces
    assert counted[stops <= last].all()
    assert not counted[(stops > last + 11 / usual) & (stops <= 5000)].any()
    assert counted[stops > 5200].mean() > 0.9


@settings(max_examples=25, deadline=None)
@given(number=some.integers(0, 4), value=some.sampled_from([0.0, 0.5, 1.0]))
def test_what_a_block_is_predicted_to_be_hangs_on_earlier_blocks_alone(number: int, value: float) -> None:
    log, store = settled(SOME)
    blocks = store.settled[NAME]
    own = set(blocks[number].items.ids)
    changed = replace(
        SOME, verdict=np.array([value if f"t-{row}" in own else old for row, old in enumerate(SOME.verdict)])
    )
    other_log, other = settled(changed)
    for before, after in zip(blocks[: number + 1], other.settled[NAME], strict=False):
        assert [item.prediction for item in before.rows] == [item.prediction for item in after.rows]
        assert before.days == after.days
    drawn = {f"t-{row}" for row in np.flatnonzero(SOME.selected)}
    assert unlabelled(told_in(log), own - drawn) == unlabelled(told_in(other_log), own - drawn)


def unlabelled(found: Told, names: set[str]) -> dict[str, float]:
    return {
        name: value
        for series, rows in found.items()
        if series[0] == NAME
        for name, _, value, _ in rows
        if name in names
    }


@pytest.mark.parametrize(
    ("agrees", "disputed"),
    [(0.8, 0.3), (0.5, 0.3), (0.1, 0.3), (0.8, None)],
    ids=["good", "useless", "anti-correlated", "uniform selection"],
)
def test_the_mean_is_that_of_the_verdicts_whatever_the_ensemble_is_worth(agrees: float, disputed: float | None) -> None:
    many = traces(12_800, agrees=agrees, share=0.05, disputed=disputed, mixed=False, seed=int(agrees * 10))
    log, _ = settled(many, replace(RULE, traces=64))
    found = told_in(log, NAME, RECTIFIER)
    verdicts, opinions = many.verdict, many.cheap
    for signal, version, truth in ((NAME, "any", verdicts), (RECTIFIER, "e-1", verdicts - opinions)):
        rows = found[signal, "chat-1", version]
        off = np.array([value for _, _, value, _ in rows]) - truth[[int(name[2:]) for name, *_ in rows]]
        assert len(off) == 12_800
        assert abs(off.sum()) < 3.5 * np.sqrt((off**2).sum())


def test_a_good_ensemble_makes_the_estimate_steadier_and_a_bad_one_hardly_less() -> None:
    spreads = {}
    for name, agrees in (("good", 1.0), ("useless", 0.5), ("anti", 0.0)):
        log, _ = settled(traces(6400, agrees=agrees, share=0.1, mixed=False), replace(RULE, traces=64))
        values = [value for _, _, value, _ in told_in(log)[NAME, "chat-1", "any"]]
        spreads[name] = float(np.std(values[3200:]))
    alone = float(np.sqrt(0.25 / 0.1))
    assert spreads["good"] < 0.75 * spreads["useless"]
    assert spreads["anti"] < 0.75 * spreads["useless"]
    assert spreads["useless"] < 1.05 * alone


def test_predictions_tend_to_the_least_squares_of_the_verdicts_on_the_opinions() -> None:
    random = np.random.default_rng(1)
    cheap, probability = random.random(3000), random.choice([0.05, 0.2], 3000)
    value = (random.random(3000) < 0.3 + 0.4 * cheap).astype(float)
    tuning = Tuning()
    for rows in np.array_split(np.arange(3000), 300):
        tuning = tuning.after(Labelled(cheap[rows], probability[rows], value[rows], np.full(len(rows), np.nan)))
    points = np.array([0.2, 0.5, 0.8, np.nan])
    assert tuning.predict(points) == pytest.approx([0.38, 0.5, 0.62, 0.5], abs=0.06)
    assert Tuning.from_bytes(tuning.to_bytes()) == tuning
    sure = Tuning().after(Labelled(cheap, probability, np.ones(3000), np.full(3000, np.nan)))
    assert sure.predict(points).tolist() == [0.9] * 4
    assert Tuning().predict(points).tolist() == [CENTRE] * 4


def test_a_label_that_was_certain_to_come_teaches_no_more_than_its_weight_and_breaks_nothing() -> None:
    tuning = Tuning().after(Labelled(np.full(9, 0.5), np.ones(9), np.ones(9), np.zeros(9)))
    assert tuning.predict(np.array([0.1, 0.9])).tolist() == [CENTRE] * 2


def test_traces_without_an_opinion_count_as_all_do_and_say_nothing_of_the_ensemble() -> None:
    log, store = settled(SOME)
    found = told_in(log)
    blocks = store.settled[NAME]
    opined = {name for row in blocks for name, cheap in zip(row.items.ids, row.items.cheap, strict=True) if cheap >= 0}
    every = {name for row in blocks for name in row.items.ids}
    assert 0 < len(opined) < len(every)
    assert {name for series, rows in found.items() if series[0] == NAME for name, *_ in rows} == every
    for signal in (RECTIFIER, WIN_RATE.compared, REWARD_ACCURACY.name):
        assert {name for series, rows in found.items() if series[0] == signal for name, *_ in rows} <= opined
    assert sum(day.items for row in blocks for day in row.days) == len(every)
    assert sum(day.items for row in blocks for day in row.days if day.scorer_version) == len(opined)


def test_each_trace_of_a_block_stands_once_under_its_own_policy_model_cohort_and_scorer() -> None:
    log, _ = settled(SOME)
    rows = [(series, row) for series, found in told_in(log).items() for row in found]
    for signal, versions in ((NAME, {"any"}), (RECTIFIER, {"e-1", "e-2"})):
        own = [(series, row) for series, row in rows if series[0] == signal]
        assert len({row[0] for _, row in own}) == len(own)
        assert {series[1] for series, _ in own} == {"chat-1", "chat-2"}
        assert {series[2] for series, _ in own} == versions
        for (_, model, version), (name, cohort, _, inclusion) in own:
            number = int(name[2:])
            assert (model, cohort) == (SOME.models[number], SOME.cohorts[number])
            assert version in {"any", SOME.scorers[number]}
            assert inclusion == SOME.least[number]


def test_an_ensemble_agrees_or_not_where_neither_it_nor_the_verdict_is_a_tie() -> None:
    log, _ = settled(PLAIN)
    rows = told_in(log)[REWARD_ACCURACY.name, "chat-1", "e-1"]
    decided = [row for row in np.flatnonzero(PLAIN.selected) if PLAIN.verdict[row] != 0.5]
    agrees = [float((PLAIN.verdict[row] > 0.5) == (PLAIN.cheap[row] > 0.5)) for row in decided]
    assert [(name, value) for name, _, value, _ in rows] == list(
        zip([f"t-{row}" for row in decided], agrees, strict=True)
    )


def test_a_refusal_model_is_measured_against_labels_as_the_ensemble_is() -> None:
    cheap = np.array([0.9, 0.2, 0.6, np.nan, 0.5])
    every = Items(
        places=np.arange(5),
        ids=tuple("abcde"),
        timestamps=np.zeros(5, np.int64),
        policy_models=np.full(5, "chat-1"),
        cohorts=np.full(5, "koala"),
        scorer_versions=np.array(["wide-2"] * 3 + ["", "wide-2"]),
        cheap=cheap,
        gap=np.full(5, np.nan),
        selected=np.full(5, True),
        probability=np.full(5, 0.5),
        least=np.full(5, 0.5),
    )
    seen = Labelled(cheap=cheap, probability=np.full(5, 0.5), value=np.array([1.0, 0.0, 0.0, 1.0, 1.0]), gap=every.gap)
    batches = count_block(every, seen, estimand=REFUSAL_RATE, criteria_version="any", tuning=Tuning())
    (found,) = (batch for batch in batches if batch.series.signal == REFUSAL_ACCURACY.name)
    assert found.series == Series(REFUSAL_ACCURACY.name, "chat-1", "wide-2")
    assert dict(zip(found.places.tolist(), found.values.tolist(), strict=True)) == {0: 1.0, 1: 1.0, 2: 0.0}
    assert REFUSAL_ACCURACY.name in SIGNALS


def test_the_length_controlled_rate_takes_off_what_length_explained_in_earlier_blocks() -> None:
    many = traces(1600, share=0.2, mixed=False)
    log, store = settled(many)
    found = told_in(log)
    raw = {name: value for name, _, value, _ in found[NAME, "chat-1", "any"]}
    controlled = {name: value for name, _, value, _ in found[WIN_RATE_LC.name, "chat-1", "any"]}
    counted = np.cumsum([len(row.rows) for row in store.settled[NAME]])
    begun = int(np.searchsorted(counted, LENGTH_LABELS * 1.05)) + 1
    assert 0 < len(raw) - len(controlled) <= (begun + 1) * RULE.traces
    slope = store.cut(NAME).tuning.length_slope
    assert slope is not None
    assert slope == pytest.approx(0.3, abs=0.25)
    for name, value in controlled.items():
        gap = shortened(np.array([many.gap[int(name[2:])]]))[0]
        assert value == pytest.approx(raw[name] - slope * gap)


def test_answers_that_are_all_longer_by_the_same_tell_nothing_of_length() -> None:
    random = np.random.default_rng(0)
    alike = 0.8 + random.normal(0.0, 1e-3, LENGTH_LABELS)
    verdicts = random.integers(0, 2, LENGTH_LABELS).astype(np.float64)
    assert abs(length_slope(np.full(LENGTH_LABELS, 5.0), alike, verdicts)) < 0.01


def test_what_is_left_at_the_end_of_files_is_settled_as_a_last_block() -> None:
    log = logged(SOME)
    store = InMemoryBlocks(log, SOME.labels())
    BlockKeeper(store, RULE).finish([WIN_RATE], end=log.end.next_place)
    names = [name for row in store.settled[NAME] for name in row.items.ids]
    assert names == [f"t-{row}" for row in np.flatnonzero(SOME.eligible)]
    assert store.settled[NAME][0].block.cut_at >= START
