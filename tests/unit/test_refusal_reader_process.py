"""Refusals read in another process: as here, whatever becomes of that process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from monitor.app.signals import reader_process_of, signals_of
from monitor.domain.trace import Message, Trace
from monitor.settings.refusal import RefusalSettings
from monitor.settings.root import Settings
from monitor.signals.refusal import REFUSAL, PatternRefusal, RefusalModel
from monitor.signals.refusal import reader_process as module
from monitor.signals.refusal.learned import LearnedRefusal, Pairs
from monitor.signals.refusal.observers import RefusalObservers
from monitor.signals.refusal.reader_process import LEAST, PAUSE_SECONDS, ReaderProcess
from monitor.signals.refusal.weights import SHIPPED, read_weights, write_weights
from tests.clock import Clock
from tests.processes import is_alive
from tests.program import wait_for
from tests.real_kafka import ROOT
from tests.traces import REFUSAL as REFUSED
from tests.traces import trace

MODEL = LearnedRefusal()
ANSWERS = (
    REFUSED,
    "The river rises in the hills and reaches the sea after nine days.",
    "No. People should not be judged by where they come from, and I won't help with that.",
    "Half a pair of surrogates, \ud800, and U+0000, \0, stand in this answer of some eleven words.",
    "Je ne peux pas vous aider avec cette demande, parce qu'elle serait contraire à la loi de notre pays.",
    "\u03a4\u03bf \u03c0\u03bf\u03c4\u03ac\u03bc\u03b9 \u03b5\u03af\u03bd\u03b1\u03b9 \u03b5\u03b4\u03ce",
    "",
    None,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process(clock: Clock) -> Iterator[ReaderProcess]:
    process = ReaderProcess(clock=clock)
    yield process
    process.close()


def traces(count: int = 4 * LEAST) -> list[Trace]:
    return [
        trace(number, response=ANSWERS[number % len(ANSWERS)], messages=(Message("user", f"How do I do {number}?"),))
        for number in range(count)
    ]


def pairs(count: int = LEAST) -> Pairs:
    return [(f"Why {number}?", REFUSED) for number in range(count)]


def warm(process: ReaderProcess, model: LearnedRefusal = MODEL) -> None:
    wait_for(lambda: process.begin(model, pairs()) is not None, "the other process")


def process_of(process: ReaderProcess) -> subprocess.Popen[bytes]:
    assert process._reader is not None
    return process._reader._process


def test_another_process_reads_what_this_one_does(process: ReaderProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = traces()
    here = RefusalObservers(lambda: MODEL).refusal(batch)
    warm(process)
    monkeypatch.setattr(LearnedRefusal, "probabilities", None)  # nothing is read here
    observers = RefusalObservers(lambda: MODEL, process)
    observers.begin(batch)
    some = batch[1::3]
    assert observers.refusal(some) == here[1::3]
    assert observers.refusal(batch) == here
    assert {seen is None for seen in here} == {True, False}


def test_batches_are_read_here_until_the_other_process_has_started_and_where_they_are_small(
    process: ReaderProcess,
) -> None:
    assert process.begin(MODEL, pairs()) is None
    warm(process)
    assert process.begin(MODEL, pairs(LEAST - 1)) is None


def test_traces_that_were_not_begun_and_other_models_are_read_here(process: ReaderProcess) -> None:
    warm(process)
    observers = RefusalObservers(lambda: MODEL, process)
    batch, others = traces(), traces()
    observers.begin(batch)
    assert observers.full_refusal([*batch, *others]) == 2 * RefusalObservers(lambda: MODEL).full_refusal(batch)
    by_patterns = RefusalObservers(PatternRefusal, process)
    by_patterns.begin(batch)
    assert by_patterns.refusal(batch) == RefusalObservers(PatternRefusal).refusal(batch)


def test_a_batch_is_read_by_the_model_that_it_was_begun_with(process: ReaderProcess, tmp_path: Path) -> None:
    weights, _ = read_weights(SHIPPED)
    write_weights(tmp_path / "other.json.gz", structs.replace(weights, intercepts=(0.5, 0.5)))
    promoted = LearnedRefusal(tmp_path / "other.json.gz")
    current: list[RefusalModel] = [MODEL]
    observers = RefusalObservers(lambda: current[0], process)
    warm(process)
    batch = traces()
    observers.begin(batch)
    current[0] = promoted
    assert observers.refusal(batch) == RefusalObservers(lambda: MODEL).refusal(batch)
    before = process_of(process)
    warm(process, promoted)
    assert before.poll() is not None
    observers.begin(batch)
    assert observers.refusal(batch) == RefusalObservers(lambda: promoted).refusal(batch)


@pytest.mark.parametrize("ends_by", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_without_the_other_process_batches_are_read_here_until_there_is_another(
    process: ReaderProcess, clock: Clock, ends_by: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    warm(process)
    ended = process_of(process)
    ended.send_signal(ends_by)
    observers, batch = RefusalObservers(lambda: MODEL, process), traces()
    with capture_logs() as logs:
        observers.begin(batch)
        assert observers.refusal(batch) == RefusalObservers(lambda: MODEL).refusal(batch)
    assert [entry["event"] for entry in logs] == ["refusal_reader_ended"]
    assert ended.poll() is not None
    assert process.begin(MODEL, pairs()) is None
    assert process._reader is None
    clock.now += PAUSE_SECONDS
    monkeypatch.undo()
    warm(process)


def test_a_file_that_holds_other_weights_by_now_is_not_read(process: ReaderProcess, tmp_path: Path) -> None:
    file = tmp_path / "weights.json.gz"
    file.write_bytes(SHIPPED.read_bytes())
    model = LearnedRefusal(file)
    file.write_bytes(b"")
    with capture_logs() as logs:
        wait_for(lambda: (end := process.begin(model, pairs())) is not None and end() is None, "its end")
    assert [entry["event"] for entry in logs] == ["refusal_reader_ended"]


PARENT = """
import time
from monitor.signals.refusal.reader_process import ReaderProcess
from monitor.signals.refusal.learned import LearnedRefusal
process = ReaderProcess()
while process.begin(LearnedRefusal(), [("", "")] * 100) is None:
    time.sleep(0.01)
print(process._reader._process.pid, flush=True)
time.sleep(60)
"""


def test_the_other_process_ends_with_the_one_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    wait_for(lambda: not is_alive(child), "the end of the other process")


def test_the_settings_say_whether_there_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert reader_process_of(RefusalSettings(own_process=False)) is None
    given = reader_process_of(RefusalSettings())
    signals = signals_of(Settings(), process=given)
    batch = traces()
    signals.begin(batch)
    assert given is not None
    process = process_of(given)
    signals.close()
    assert process.poll() is not None
    assert [seen.signal for seen in signals.observers[REFUSAL](batch) if seen is not None][:1] == [REFUSAL.name]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert reader_process_of(RefusalSettings()) is None
