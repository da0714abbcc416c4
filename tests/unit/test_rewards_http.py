"""The client of reward models behind HTTP, against a server that is told what to answer."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from monitor.domain.trace import Message
from monitor.errors import Unavailable
from monitor.rewards.http import PROBE, Endpoint, HttpEnsemble, HttpLimits, HttpScorer, Row

Answer = tuple[int, Any]


def row(response: str) -> Row:
    return (Message("user", "why?"),), response


def score_of(text: str) -> float:
    return len(text) / 100


@dataclass
class InMemoryClassify:
    """A vLLM server of one model: a text's score is its length; `answer` may answer in its place."""

    model: str = "rm"
    root: str = "/models/rm"
    answer: Callable[[list[str]], Answer | None] = lambda _texts: None
    requests: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def models(self) -> Answer:
        return 200, {"data": [{"id": self.model, "root": self.root, "max_model_len": 64, "owned_by": "vllm"}]}

    def classify(self, asked: dict[str, Any]) -> Answer:
        with self.lock:
            self.requests.append(asked)
        texts = asked["input"] if "input" in asked else [asked["messages"][-1]["content"]]
        if asked["model"] != self.model:
            return 404, {"error": {"message": "no such model"}}
        told = self.answer(texts)
        if told is not None:
            return told
        return 200, {"data": [{"index": place, "probs": [score_of(text)]} for place, text in enumerate(texts)]}


@pytest.fixture
def server() -> Iterator[InMemoryClassify]:
    classify = InMemoryClassify()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.reply(*classify.models())

        def do_POST(self) -> None:
            self.reply(*classify.classify(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def reply(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        classify.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield classify
        http.shutdown()
        thread.join()


@pytest.fixture
def ensemble(server: InMemoryClassify) -> Iterator[Callable[..., HttpEnsemble]]:
    """Make ensembles that are closed before the server is."""
    made = []

    def make(form: Any = "text", *, endpoints: int = 1, rows_per_request: int = 16) -> HttpEnsemble:
        limits = HttpLimits(
            timeout_seconds=5, attempts=2, concurrency=4, rows_per_request=rows_per_request, max_tokens=32
        )
        addresses = [Endpoint(server.url)] * endpoints
        made.append(HttpEnsemble(addresses, form=form, beta=1.0, limits=limits, random=random.Random(1)))
        return made[-1]

    yield make
    for one in made:
        one.close()


ROWS = [row("x" * number) for number in range(1, 41)]


def test_texts_are_asked_for_as_lines_in_requests_of_a_bounded_size(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble]
) -> None:
    rewards = ensemble("text").score(ROWS)

    texts = [f"user: why?\nassistant: {response}" for _, response in ROWS]
    assert [reward.mean if reward else None for reward in rewards] == [score_of(text) for text in texts]
    assert sorted(len(asked["input"]) for asked in server.requests) == [8, 16, 16]
    assert {
        (asked["model"], asked["use_activation"], asked["truncate_prompt_tokens"]) for asked in server.requests
    } == {("rm", False, 32)}


def test_messages_are_asked_for_one_conversation_a_request(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble]
) -> None:
    rewards = ensemble("messages").score(ROWS[:3])

    assert [reward.mean if reward else None for reward in rewards] == [0.01, 0.02, 0.03]
    first = min(server.requests, key=lambda asked: len(asked["messages"][-1]["content"]))
    assert first["messages"] == [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "x"}]


@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_refused_row_is_found_and_has_no_reward_and_the_log_does_not_quote_it(
    server: InMemoryClassify,
    ensemble: Callable[..., HttpEnsemble],
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.answer = lambda texts: (status, {"error": texts}) if any("secret" in text for text in texts) else None
    client = ensemble("text")

    with caplog.at_level(logging.DEBUG):
        rewards = client.score([*ROWS[:9], row("secret"), *ROWS[9:]])

    assert [index for index, reward in enumerate(rewards) if reward is None] == [9]
    assert client.failures == {"refused": 1}
    assert "1 rows have no score from rm: refused" in caplog.text
    assert "secret" not in caplog.text


def test_a_server_that_refuses_everything_is_unavailable_and_no_row_is_given_up(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble]
) -> None:
    server.answer = lambda _texts: (400, {"error": {"message": "no chat template"}})
    client = ensemble("messages")

    with pytest.raises(Unavailable, match="refuses even a harmless conversation in the form 'messages'"):
        client.score(ROWS[:2])
    assert not client.failures
    assert PROBE[1] in {asked["messages"][-1]["content"] for asked in server.requests}


def test_a_passing_trouble_is_tried_again(server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble]) -> None:
    troubles: list[Answer | None] = [(503, {}), None]
    server.answer = lambda _texts: troubles.pop(0)

    assert ensemble("text").score(ROWS[:2])[0] is not None
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param((503, {}), "HTTP 503", id="it stays overloaded"),
        pytest.param((401, {}), "HTTP 401 in place of scores", id="it wants a key"),
        pytest.param((200, {"data": []}), "one score", id="it answers too few rows"),
        pytest.param((200, {"data": [{"index": 0, "probs": [0.1, 0.9]}]}), "one score", id="it has two outputs"),
        pytest.param((200, "hello"), "one score", id="it is something else"),
    ],
)
def test_a_server_that_does_not_score_is_unavailable(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble], answer: Answer, words: str
) -> None:
    server.answer = lambda _texts: answer

    with pytest.raises(Unavailable, match=words):
        ensemble("text").score(ROWS[:1])


def test_a_server_that_is_not_there_is_unavailable() -> None:
    limits = HttpLimits(timeout_seconds=1, attempts=2, concurrency=1, rows_per_request=1, max_tokens=8)
    client = HttpEnsemble(
        [Endpoint("http://127.0.0.1:1")], form="text", beta=1.0, limits=limits, random=random.Random(1)
    )

    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1: ConnectError"):
        client.score(ROWS[:1])
    assert HttpScorer(client).follow() == "reward model at http://127.0.0.1:1: ConnectError"
    client.close()


def test_a_score_that_is_no_number_leaves_the_row_without_a_reward(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble]
) -> None:
    data = [{"index": 1, "probs": [0.5]}, {"index": 0, "probs": [None]}]
    server.answer = lambda _texts: (200, {"data": data})
    client = ensemble("text", endpoints=2)

    rewards = client.score(ROWS[:2])

    assert [reward.members if reward else None for reward in rewards] == [None, (0.5, 0.5)]
    assert client.failures == {"not_finite": 2}


@pytest.mark.parametrize("change", ["model", "root"])
def test_another_model_behind_the_url_is_another_version(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble], change: str
) -> None:
    client = ensemble("text")
    before = client.score(ROWS[:1])[0]
    setattr(server, change, "other")
    after = client.score(ROWS[:1])[0]

    assert before is not None
    assert after is not None
    assert before.scorer_version != after.scorer_version


def test_a_model_replaced_while_it_scores_scores_all_rows_again(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble]
) -> None:
    def replace(_texts: list[str]) -> None:
        server.model = "rm-2"

    server.answer = replace
    client = ensemble("text", rows_per_request=1)
    rewards = client.score(ROWS)

    assert {reward.scorer_version for reward in rewards if reward} == {client.discover().version}
    assert len([asked for asked in server.requests if asked["model"] == "rm-2"]) == len(ROWS)


def test_an_endpoint_of_several_models_wants_a_name(
    server: InMemoryClassify, ensemble: Callable[..., HttpEnsemble], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = {"data": [{"id": "a"}, {"id": "b"}]}
    monkeypatch.setattr(server, "models", lambda: (200, cards))

    with pytest.raises(Unavailable, match="serves a, b: say which one"):
        ensemble("text").score(ROWS[:1])
