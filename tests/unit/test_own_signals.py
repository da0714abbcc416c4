"""A user's own signals: each source, what fails in it, and what the settings refuse."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from monitor.app.signal_rows import SignalRows
from monitor.app.signals import signals_of
from monitor.domain.signal import SignalKind
from monitor.domain.trace import Message, Trace
from monitor.domain.view import WorkerTrouble
from monitor.errors import InvalidSetting
from monitor.observe.gather import gather
from monitor.own.failures import Failures, Trouble
from monitor.own.pattern import MAX_CHARACTERS
from monitor.settings.load import load_settings
from monitor.settings.root import Settings
from monitor.signals.set import SignalSet
from tests.commands import Run
from tests.traces import line, scored, trace

FUNCTIONS = "tests.own_functions"


def settings_of(*own: dict[str, Any], **more: Any) -> Settings:
    return Settings(signals={"own": own, **more})


def values(own: dict[str, Any], *traces: Trace, failures: Failures | None = None) -> list[float | None]:
    """Return what the signal *own* says of *traces*."""
    signals = signals_of(settings_of({"name": "mine", **own}), failures).only({"mine"})
    [column] = signals.read(traces)
    return [None if seen is None else seen.value for seen in column]


def said(*responses: str | None) -> list[Trace]:
    return [trace(number, response=text) for number, text in enumerate(responses)]


def test_a_pattern_is_found_or_not_and_says_nothing_of_a_missing_answer() -> None:
    assert values({"pattern": "(?i)acme"}, *said("By ACME.", "By us.", None)) == [1.0, 0.0, None]


def test_of_a_text_that_was_cut_nothing_is_said_since_the_rest_may_have_held_it() -> None:
    assert values({"pattern": "acme"}, trace(0, response="By acme", truncated=True)) == [None]


def test_a_pattern_may_be_counted_and_read_the_prompt() -> None:
    asked = trace(0, messages=(Message("user", "no"), Message("assistant", "é?"), Message("user", "é, é and é?")))
    assert values({"pattern": "é", "kind": "length", "field": "prompt"}, asked) == [3.0]
    assert values({"pattern": "é", "kind": "length", "field": "conversation"}, asked) == [4.0]


def test_a_pattern_that_would_backtrack_without_end_takes_time_in_proportion_to_the_text() -> None:
    started = time.monotonic()
    assert values({"pattern": r"^(a|aa)+$"}, *said("a" * 90_000 + "b")) == [0.0]
    assert values({"pattern": r"(x+x+)+y"}, *said("x" * 90_000)) == [0.0]
    assert time.monotonic() - started < 10.0


def test_of_a_text_without_end_a_pattern_reads_the_beginning_and_half_a_surrogate_pair_does_not_stop_it() -> None:
    long = "a" * MAX_CHARACTERS + "acme"
    assert values({"pattern": "acme"}, *said(long, "half \ud83d of acme")) == [0.0, 1.0]


def test_a_json_path_reads_the_native_form_and_labels_as_what_they_say() -> None:
    told = [
        trace(0, feedback_rating=-2.0, cohort={"dataset": "koala", "score": "0.25", "vip": "true"}),
        trace(1, feedback_rating=None, cohort={"dataset": "koala"}),
    ]
    assert values({"jsonpath": "$.feedback.rating"}, *told) == [-2.0, None]
    assert values({"jsonpath": "$.cohort.score"}, *told) == [0.25, None]
    assert values({"jsonpath": "$.cohort.vip", "kind": "binary"}, *told) == [1.0, None]
    assert values({"jsonpath": "$.messages[-1].content"}, *told) == [None, None]


def test_a_function_gets_the_trace_and_says_a_number_a_truth_or_nothing() -> None:
    assert values({"callable": f"{FUNCTIONS}:words"}, *said("one two", None)) == [2.0, None]
    assert values({"callable": f"{FUNCTIONS}:is_even", "kind": "binary"}, *said("a", "b")) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("function", "kind", "why"),
    [
        ("says_text", "ranked", "a str is no number"),
        ("says_nan", "ranked", "a number that is not finite, or beyond 1e9"),
        ("words", "binary", "a number that no binary value is"),
        ("words", "probability", "a number that no probability value is"),
        ("leaves", "ranked", "it raised SystemExit"),
        ("changes_labels", "ranked", "it raised TypeError"),
    ],
)
def test_a_function_that_fails_is_counted_and_named_once_and_gives_no_value(function: str, kind: str, why: str) -> None:
    counted: list[tuple[str, int]] = []
    failures = Failures(lambda name, count: counted.append((name, count)))
    with capture_logs() as logs:
        found = values(
            {"callable": f"{FUNCTIONS}:{function}", "kind": kind}, *said("one two three", "a b"), failures=failures
        )
    assert found == [None, None]
    assert failures.troubles() == {"mine": Trouble(2, why)}
    assert counted == [("mine", 1), ("mine", 1)]
    assert [(entry["event"], entry["signal"], entry["why"]) for entry in logs] == [("signal_failed", "mine", why)]


def test_one_trace_that_breaks_a_function_takes_no_other_with_it() -> None:
    failures = Failures()
    told = [trace(number) for number in range(4)]
    assert values({"callable": f"{FUNCTIONS}:breaks_on_odd"}, *told, failures=failures) == [1.0, None, 1.0, None]
    assert failures.troubles() == {"mine": Trouble(2, "it raised ZeroDivisionError")}


def test_an_own_signal_is_an_observation_like_any_other_and_its_neighbours_do_not_suffer() -> None:
    settings = settings_of(
        {"name": "acme", "pattern": "acme"}, {"name": "broken", "callable": f"{FUNCTIONS}:says_text"}
    )
    signals = signals_of(settings)
    entry = gather(
        scored([trace(number, response="acme" * (number % 2) + "!") for number in range(6)]), signals=signals
    )
    found = {batch.series.signal: batch for batch in entry.observations}
    assert found["acme"].values.tolist() == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert found["acme"].series.scorer_version == signals.versions["acme"]
    assert {"error", "refusal"} <= found.keys()
    assert "broken" not in found


def version(**own: Any) -> str:
    return signals_of(settings_of({"name": "mine", **own})).versions["mine"]


def test_another_definition_is_another_series_and_other_words_for_people_are_not() -> None:
    usual = version(pattern="acme")
    assert usual.startswith("pattern-")
    assert version(pattern="acme", meaning="it names Acme", unit="share") == usual
    others = [
        version(pattern="Acme"),
        version(pattern="acme", field="prompt"),
        version(pattern="acme", kind="length"),
        version(pattern="acme", version="2"),
        version(callable=f"{FUNCTIONS}:words"),
        version(callable=f"{FUNCTIONS}:is_even"),
    ]
    assert len({usual, *others}) == 7
    judge = {"url": "http://j", "prompt": "{response}?"}
    assert version(judge=judge) == version(judge=judge | {"share": 0.5, "timeout_seconds": 3.0, "api_key": "k"})
    assert version(judge=judge) != version(judge=judge | {"prompt": "Good? {response}"})
    assert version(judge=judge) != version(judge=judge | {"highest": 0.5})


def test_a_series_of_the_definition_before_is_not_followed() -> None:
    before, after = (signals_of(settings_of({"name": "mine", "pattern": text})) for text in ("acme", "Acme"))
    assert before.holds("mine", before.versions["mine"])
    assert not after.holds("mine", before.versions["mine"])


def test_kind_and_unit_follow_from_the_source_where_they_are_not_said() -> None:
    judge = {"url": "http://j", "prompt": "{response}?"}
    known: SignalSet = signals_of(
        settings_of(
            {"name": "a", "pattern": "x"},
            {"name": "b", "jsonpath": "$.x"},
            {"name": "c", "judge": judge},
            {"name": "d", "judge": judge | {"highest": 10.0}},
            {"name": "e", "jsonpath": "$.x", "kind": "length", "unit": "calls", "meaning": "how many"},
        )
    )
    told = [(known.known[name].kind, known.known[name].unit) for name in "abcde"]
    assert told == [
        (SignalKind.BINARY, "ratio"),
        (SignalKind.RANKED, "value"),
        (SignalKind.PROBABILITY, "ratio"),
        (SignalKind.RANKED, "value"),
        (SignalKind.LENGTH, "calls"),
    ]
    assert [name for name in "abcde" if known.known[name].of_texts] == ["a"]


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"name": "refusal", "pattern": "x"}, "name 'refusal' is taken"),
        ({"name": "selected_x", "pattern": "x"}, "name 'selected_x' is taken"),
        ({"name": "Mine", "pattern": "x"}, "String should match pattern"),
        ({"name": "mine"}, "mine has no source; wanted one of pattern, jsonpath"),
        ({"name": "mine", "pattern": "x", "jsonpath": "$.x"}, "mine has pattern and jsonpath; wanted one"),
        ({"name": "mine", "label": "toxic", "pattern": "x"}, "classifier and label belong together"),
        ({"name": "mine", "pattern": "x", "kind": "ranked"}, "a pattern is found or not"),
        ({"name": "mine", "jsonpath": "$.x", "of_texts": True}, "of_texts is said of a callable"),
        ({"name": "mine", "judge": {"url": "http://j", "prompt": "Good?"}}, "all would be asked alike"),
        ({"name": "mine", "judge": {"url": "http://me:pw@j", "prompt": "{response}"}}, "should match pattern"),
        ({"name": "mine", "pattern": "(?=x)"}, "invalid perl operator: (?=; RE2 has no lookaround"),
        ({"name": "mine", "jsonpath": "$.[["}, "signals.own.mine.jsonpath = '$.[['"),
        ({"name": "mine", "jsonpath": "$.messages[?match(@.content, '(a+)+')]"}, "signals.own.mine.jsonpath"),
        ({"name": "mine", "callable": "tests.own_functions"}, "wanted `package.module:name`"),
        ({"name": "mine", "callable": "tests.own_functions:none"}, "has no attribute 'none'"),
        ({"name": "mine", "callable": "tests.own_functions:NOT_A_FUNCTION"}, "it is a int; wanted a function"),
        ({"name": "mine", "classifier": "/no/such", "label": "x"}, "no such folder"),
        (
            {"name": "mine", "kind": "binary", "judge": {"url": "http://j", "prompt": "{response}", "highest": 5}},
            "0 to 5",
        ),
    ],
)
def test_a_definition_that_cannot_be_meant_stops_the_start_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, own: dict[str, Any], wanted: str
) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(yaml.safe_dump({"signals": {"own": [own]}}))
    monkeypatch.setenv("MONITOR_CONFIG", str(file))
    with pytest.raises(InvalidSetting) as refused:
        signals_of(load_settings())
    assert wanted in str(refused.value)
    assert "pw@" not in str(refused.value)


def test_two_signals_of_one_name_are_refused_and_own_ones_may_be_named_in_rules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "monitor.yaml"
    monkeypatch.setenv("MONITOR_CONFIG", str(file))
    own = {"name": "mine", "pattern": "x"}
    file.write_text(yaml.safe_dump({"signals": {"own": [own, own]}}))
    with pytest.raises(InvalidSetting, match="two signals of the name 'mine'"):
        load_settings()
    rules = [{"signals": ["mine"]}]
    tolerance = {"mine": {"points": 0.05}}
    file.write_text(
        yaml.safe_dump({"signals": {"own": [own]}, "retrain": {"rules": rules}, "drift": {"tolerance": tolerance}})
    )
    load_settings()


def test_operators_see_what_each_signal_means_where_it_comes_from_and_that_it_failed() -> None:
    settings = settings_of({"name": "mine", "pattern": "x", "meaning": "it holds an x"}, off=["error"])
    failing = [WorkerTrouble("a/7", 3, "it raised ValueError"), WorkerTrouble("b/8", 1, "a str is no number")]
    rows = {row.name: row for row in SignalRows(settings, lambda: {"mine": failing}).signals()}
    mine = rows["mine"]
    assert (mine.meaning, mine.origin, mine.is_on, mine.failures) == ("it holds an x", "own: pattern", True, 4)
    assert mine.troubles == tuple(failing)
    assert (rows["error"].is_on, rows["refusal"].is_on, rows["reward"].origin) == (False, True, "another source")


def test_score_and_backtest_read_own_signals_and_tell_what_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, run: Run
) -> None:
    traces, out, told = (tmp_path / name for name in ("traces.jsonl", "scores.jsonl", "result.json"))
    answers = ("Buy ours.", "Buy Acme.")
    traces.write_bytes(b"".join(line(trace(n, response=answers[n >= 600])) + b"\n" for n in range(1000)))
    own = [
        {"name": "acme", "pattern": "(?i)acme", "meaning": "it names Acme"},
        {"name": "broken", "callable": f"{FUNCTIONS}:says_text"},
    ]
    file = tmp_path / "monitor.yaml"
    file.write_text(yaml.safe_dump({"signals": {"own": own}}))
    monkeypatch.setenv("MONITOR_CONFIG", str(file))
    done = run("score", str(traces), "--out", str(out))
    assert done.code == 0
    assert "broken: no value for 1000 traces: a str is no number" in done.err
    assert '"acme": 1' in out.read_text().splitlines()[-1]
    done = run("backtest", str(traces), "--baseline", "500", "--json", str(told))
    assert done.code == 0
    assert '"acme"' in told.read_text()
    done = run("signals")
    assert "it names Acme" in done.out
