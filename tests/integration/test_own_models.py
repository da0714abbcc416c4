"""Own signals that ask a model: a classifier from a real folder, and a judge behind a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.app.signals import signals_of
from monitor.domain.trace import Message, Trace
from monitor.errors import InvalidSetting
from monitor.own.failures import Failures, Trouble
from monitor.settings.root import Settings
from monitor.signals.set import SignalSet
from tests.reference_server import Reply, TroubledServer
from tests.traces import trace

QUESTION = "Rate it. {prompt} -> {response}"


OPEN: list[SignalSet] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def signals(own: dict[str, Any], failures: Failures | None = None) -> SignalSet:
    return signals_of(Settings(signals={"own": [{"name": "mine", **own}]}), failures).only({"mine"})


def values(read: SignalSet, traces: list[Trace]) -> list[float | None]:
    """Return what the one signal of *read* says of each trace; the test's end closes it."""
    OPEN.append(read)
    [column] = read.read(traces)
    return [None if seen is None else seen.value for seen in column]


def said(text: str) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return Reply(body=json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode())


def judge(url: str, **more: Any) -> dict[str, Any]:
    return {"judge": {"url": url, "prompt": QUESTION, "share": 1.0, "timeout_seconds": 5.0, **more}}


def asked(count: int) -> list[Trace]:
    return [trace(number, messages=(Message("user", f"q{number}"),), response=f"a{number}") for number in range(count)]


def test_a_judge_s_number_is_a_value_and_anything_else_is_counted() -> None:
    replies = {"q0": "0.25", "q1": " 1 ", "q2": "1.5", "q3": "about 0.5", "q4": "", "q5": "nan"}
    failures = Failures()

    def trouble(_: int, prompt: str) -> Reply:
        return said(next(reply for name, reply in replies.items() if f" {name} " in prompt))

    with TroubledServer(trouble=trouble) as server:
        read = signals(judge(server.url), failures)
        assert values(read, [*asked(6), trace(9, response=None)]) == [0.25, 1.0, None, None, None, None, None]
        assert set(server.asked) == {f"Rate it. q{number} -> a{number}" for number in range(6)}
    assert failures.troubles() == {"mine": Trouble(4, "the judge: unreadable")}


def test_texts_of_a_trace_are_put_into_the_question_once_and_not_read_as_one() -> None:
    sly = trace(0, messages=(Message("user", "{response}"),), response="{conversation}")
    with TroubledServer(trouble=lambda _number, _prompt: said("1")) as server:
        assert values(signals(judge(server.url)), [sly]) == [1.0]
        assert list(server.asked) == ["Rate it. {response} -> {conversation}"]


def test_a_share_of_the_traces_is_judged_and_a_replay_asks_about_the_same_ones() -> None:
    traces = asked(400)
    with TroubledServer(trouble=lambda _number, _prompt: said("0.5")) as server:
        drawn = []
        for part in (traces, traces[200:] + traces[:200]):
            server.asked.clear()
            values(signals(judge(server.url, share=0.25)), part)
            drawn.append(set(server.asked))
    assert drawn[0] == drawn[1]
    assert 60 <= len(drawn[0]) <= 140


def test_a_slow_judge_keeps_no_batch_longer_than_its_time_and_a_dead_one_is_left_alone() -> None:
    failures = Failures()
    with TroubledServer(trouble=lambda _number, _prompt: Reply(body=said("1").body, seconds=3.0)) as server:
        read = signals(judge(server.url, timeout_seconds=0.5, concurrency=2), failures)
        started = time.monotonic()
        assert values(read, asked(50)) == [None] * 50
        assert time.monotonic() - started < 2.5
        assert failures.troubles() == {"mine": Trouble(50, "the judge: late")}
        before = server.asked.total()
        assert before <= 2 * 2
        started = time.monotonic()
        values(read, asked(50))
        assert time.monotonic() - started < 0.4, "nobody is asked for a while"
        assert server.asked.total() <= before + 2
    assert failures.troubles()["mine"].failures == 100


def test_a_judge_that_is_not_there_is_counted_and_kills_nothing() -> None:
    failures = Failures()
    read = signals(judge("http://127.0.0.1:9", model="j"), failures)
    assert values(read, asked(3)) == [None] * 3
    assert failures.troubles() == {"mine": Trouble(3, "the judge: away")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.integration.test_folder_classifier import save

    return save(tmp_path_factory.mktemp("own-classifier"))


def test_a_classifier_says_its_label_s_probability_as_transformers_does(folder: Path) -> None:
    from transformers import pipeline

    texts = ["here it is", "no way at all", "maybe " * 30]
    traces = [trace(number, response=text) for number, text in enumerate(texts)]
    whole = values(signals({"classifier": str(folder), "label": "declines"}), [*traces, trace(9, response=None)])
    usual = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)
    wanted = []
    for text in texts:
        [told] = usual([text], truncation=True, max_length=64)
        wanted.append(next(row["score"] for row in told if row["label"] == "declines"))
    assert whole[3] is None
    assert np.allclose(np.array(whole[:3], dtype=float), wanted, atol=1e-5)


def test_a_classifier_may_read_the_prompt_and_its_label_is_in_the_version(folder: Path) -> None:
    one = trace(0, messages=(Message("user", "same text"),), response="other text")
    other = trace(0, response="same text")
    own = {"classifier": str(folder), "label": "hedges"}
    assert values(signals(own | {"field": "prompt"}), [one]) == values(signals(own), [other])
    assert signals(own).versions == signals(own).versions
    assert signals(own).versions != signals(own | {"label": "answers"}).versions


def test_a_label_that_the_classifier_has_not_stops_the_start_and_weights_that_are_gone_only_count(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match=r"signals.own.mine.label names 'toxic'; the labels of .* are answers"):
        signals({"classifier": str(folder), "label": "toxic"})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    failures = Failures()
    read = signals({"classifier": str(tmp_path), "label": "hedges"}, failures)
    assert values(read, asked(2)) == [None, None]
    assert values(read, asked(1)) == [None]
    trouble = failures.troubles()["mine"]
    assert (trouble.failures, trouble.last.partition(":")[0]) == (3, "it cannot be loaded")
