"""Which signals are on: chosen by name, read by the batch, and passed over by all where they are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.app.signals import signals_of
from monitor.domain.cohort import ALL
from monitor.domain.observation import LogEntry, Series
from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.stream import StreamKey
from monitor.domain.trace import Trace
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget, StreamCount, WindowPaces
from monitor.drift.controller import freeze_window
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule
from monitor.errors import InvalidSetting
from monitor.observe.gather import gather
from monitor.offline.log import InMemoryLog
from monitor.settings.load import load_settings
from monitor.signals.cost import Price
from monitor.signals.set import DEFAULT, SignalSet, choose
from monitor.signals.table import OPTIONAL_SIGNALS, TRACE_SIGNALS, Batched
from tests.traces import scored, trace

ROLLUP = StreamKey("refusal", ALL, "phi-2", "patterns-1")
BREVITY = Signal("brevity", SignalKind.BINARY, "ratio", "the answer has ten characters or fewer")


def observe_brevity(traces: Sequence[Trace]) -> list[Observation | None]:
    return [
        None if one.response is None else Observation(BREVITY.name, "1", float(len(one.response) <= 10))
        for one in traces
    ]


@pytest.fixture
def optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program know the optional signal `brevity`."""
    monkeypatch.setitem(OPTIONAL_SIGNALS, BREVITY, Batched(observe_brevity))


def entries(signals: SignalSet, *, count: int = 400, size: int = 100, first: int = 0) -> list[LogEntry]:
    traces = [trace(number) for number in range(first, first + count)]
    return [gather(scored(traces[start : start + size]), signals=signals) for start in range(0, count, size)]


def log_of(*written: LogEntry) -> InMemoryLog:
    log = InMemoryLog()
    for entry in written:
        log.append(entry)
    return log


def frozen(log: InMemoryLog, signals: SignalSet) -> Baseline:
    return freeze_window(log, NullRule(signals=signals), first_place=0, stop_place=400)


def test_by_default_all_but_the_optional_signals_are_on(optional: None) -> None:
    assert choose().of_traces == {signal.name for signal in TRACE_SIGNALS}
    chosen = choose(on=["brevity"], off=["truncation"])
    assert chosen.of_traces == {"response_length", "refusal", "error", "negative_feedback", "brevity"}
    assert "truncation" not in chosen.known
    assert chosen.known["reward"].unit == "reward"
    assert chosen.at_once >= {"brevity", "reward"}
    assert "win_rate" not in chosen.at_once


def test_a_batch_is_read_in_one_call_and_in_order(optional: None) -> None:
    told = [trace(0, response="Yes."), trace(1, response=None), trace(2, response="It is as it is.")]
    *_, column = choose(on=["brevity"]).read(told)
    assert [seen and seen.value for seen in column] == [1.0, None, 0.0]


def test_an_observer_that_answers_for_another_number_of_traces_is_named() -> None:
    broken = SignalSet({BREVITY: lambda traces: observe_brevity(traces)[1:]})
    with pytest.raises(ValueError, match="brevity: 1 answers on 2 traces; wanted one each"):
        list(broken.read([trace(0), trace(1)]))


@pytest.mark.parametrize(
    ("field", "name", "said"),
    [
        ("ON", "brevty", "on names 'brevty'; known are brevity"),
        ("ON", "refusal", "on names 'refusal', which is on by default; known are brevity"),
        ("OFF", "brevity", "off names 'brevity', which is off by default; known are response_length, refusal"),
        ("OFF", "reward", "off names 'reward', which is not read from traces alone; known are response_length"),
    ],
)
def test_a_name_that_cannot_be_switched_is_told_with_those_that_can(
    optional: None, monkeypatch: pytest.MonkeyPatch, field: str, name: str, said: str
) -> None:
    for other in list(OPTIONAL_SIGNALS):
        if other is not BREVITY:
            monkeypatch.delitem(OPTIONAL_SIGNALS, other)
    monkeypatch.setenv(f"MONITOR_SIGNALS__{field}", f'["{name}"]')
    with pytest.raises(InvalidSetting, match=said):
        load_settings()


def test_the_settings_choose(optional: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_SIGNALS__ON", '["brevity"]')
    monkeypatch.setenv("MONITOR_SIGNALS__OFF", '["error", "refusal"]')
    assert signals_of(load_settings()).of_traces == {
        "response_length",
        "truncation",
        "negative_feedback",
        "brevity",
    }


def test_a_rule_may_name_a_signal_that_is_off_and_none_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_SIGNALS__OFF", '["refusal"]')
    monkeypatch.setenv("MONITOR_RETRAIN__RULES", '[{"signals": ["refusal"]}]')
    load_settings()
    monkeypatch.setenv("MONITOR_RETRAIN__RULES", '[{"signals": ["refusals"]}]')
    with pytest.raises(InvalidSetting, match=r"retrain.rules.0 names the signal 'refusals'; known are response_length"):
        load_settings()


def test_each_signal_that_is_on_has_its_share_of_the_budget(optional: None) -> None:
    chosen = (choose(off=["error"]), DEFAULT, choose(on=["brevity"]))
    counts = [WindowPaces.of(frozen(log_of(*entries(on)), on), window_days=1.0).count for on in chosen]
    assert counts == [StreamCount(3, 6), StreamCount(4, 8), StreamCount(5, 10)]  # each in two cohorts
    shares = [Budget(false_page_days=1.0).share(ROLLUP, count) for count in counts]
    assert shares == [0.5 / 3, 0.5 / 4, 0.5 / 5]


def test_a_law_says_itself_how_its_values_are_read(optional: None) -> None:
    """A leader whose settings do not know the signal folds it on: another replica may have been rolled out first."""
    more = choose(on=["brevity"])
    baseline = frozen(log_of(*entries(more)), more)
    read = Baseline.from_json(0, 400, baseline.to_json())
    law = next(law for law in read.signals if law.signal == "brevity")
    assert (law.kind, law.unit) == (SignalKind.BINARY, "ratio")
    log, fold = log_of(*entries(more, count=800)), Fold(read, FoldRules(Budget()))
    for entry in log.records:
        fold.add(entry)
    assert {key.signal for key in fold.streams} >= {"brevity", "refusal"}


def test_a_baseline_of_an_earlier_release_knows_its_kinds_by_name() -> None:
    baseline = frozen(log_of(*entries(DEFAULT)), DEFAULT)
    content = baseline.to_json()
    for law in content["signals"]:
        del law["kind"], law["unit"]
    assert Baseline.from_json(0, 400, content) == Baseline.from_json(0, 400, baseline.to_json())


def test_what_is_off_gets_no_law_though_the_log_holds_its_values(optional: None) -> None:
    log = log_of(*entries(choose(on=["brevity"])))
    kept = frozen(log, choose(off=["error"]))
    assert {law.signal for law in kept.signals} == {"response_length", "refusal", "truncation"}


def test_a_version_that_the_settings_do_not_say_any_more_gets_no_law() -> None:
    log = log_of(*entries(DEFAULT))
    other = replace(DEFAULT, versions={"refusal": "another"})
    assert "refusal" not in {law.signal for law in frozen(log, other).signals}
    assert not other.holds("refusal", "patterns-1")
    assert other.holds("refusal", "another")


def test_rows_of_one_cohort_and_of_several_models_stay_apart() -> None:
    items = scored([trace(number, policy_model="ab"[number % 2]) for number in range(6)])
    found = {batch.series: batch for batch in gather(items).observations}
    one = found[Series("error", "b", "reported")]
    assert (one.places.tolist(), one.cohorts, one.cohort_codes.tolist()) == ([1, 3, 5], ("dataset=vicuna",), [0, 0, 0])
    assert np.array_equal(one.values, [0.0, 0.0, 0.0])


def test_costs_are_read_by_the_prices_that_the_settings_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text("signals: {on: [cost, apology], prices: [{model: phi-*, input: 2, output: 10}]}")
    monkeypatch.setenv("MONITOR_CONFIG", str(file))
    signals = signals_of(load_settings())
    known, unknown = signals.rows([trace(), trace(1, policy_model="other")])
    cost = next(seen for seen in known if seen.signal == "cost")
    assert cost.value == pytest.approx(12 * 2 + 100 * 10)
    assert signals.holds("cost", cost.scorer_version)
    assert not signals.holds("cost", "prices-of-yesterday")
    assert "cost" not in {seen.signal for seen in unknown}


def test_costs_without_prices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_SIGNALS__ON", '["cost"]')
    with pytest.raises(InvalidSetting, match=r"list them in signals\.prices"):
        load_settings()


def test_every_optional_signal_can_be_switched_on_and_says_what_it_means() -> None:
    names = [signal.name for signal in OPTIONAL_SIGNALS]
    signals = choose(names, prices=[Price("*", 1.0, 1.0)])
    assert signals.of_traces >= set(names)
    assert all(signal.meaning for signal in OPTIONAL_SIGNALS)
    entry = gather(scored([trace(number, latency_seconds=1.0) for number in range(8)]), signals=signals)
    assert {"latency", "cost", "list_share"} <= {batch.series.signal for batch in entry.observations}
