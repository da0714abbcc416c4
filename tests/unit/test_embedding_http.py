"""Embeddings behind HTTP, against a server that is told what to answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from monitor.embedding import embedder_of
from monitor.embedding.http import PAUSE_SECONDS, HttpEmbedder
from monitor.embedding.projection import Projection, signs
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.embedding import Embedded
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.step import Observer, ObserveRules
from monitor.settings.embedding import EmbeddingSettings
from tests.traces import prompts, trace

Answer = tuple[int, Any]


def vector_of(text: str, width: int = 6) -> list[float]:
    return [float(len(text)), *(float(place) for place in range(1, width))]


@dataclass
class InMemoryEmbeddings:
    """A server of one model: a text's vector begins with its length; `answer` may answer in its place."""

    answer: Callable[[list[str]], Answer | None] = lambda _texts: None
    width: int = 6
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    url: str = ""

    def embed(self, asked: dict[str, Any]) -> Answer:
        self.requests.append(asked)
        told = self.answer(asked["input"])
        if told is not None:
            return told
        rows = [{"index": place, "embedding": vector_of(text, self.width)} for place, text in enumerate(asked["input"])]
        return 200, {"object": "list", "data": rows[::-1], "model": asked["model"]}


@pytest.fixture
def server() -> Iterator[InMemoryEmbeddings]:
    embeddings = InMemoryEmbeddings()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            assert self.path == "/v1/embeddings"
            embeddings.keys.add(self.headers["Authorization"])
            status, body = embeddings.embed(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
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
        embeddings.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield embeddings
        http.shutdown()
        thread.join()


@dataclass
class Parts:
    embedder: HttpEmbedder
    missing: list[int]
    now: list[float]


@pytest.fixture
def parts(server: InMemoryEmbeddings) -> Iterator[Callable[..., Parts]]:
    made: list[Parts] = []

    def make(**changes: Any) -> Parts:
        usual: dict[str, Any] = {"backend": "http", "url": server.url, "model": "small", "rows_per_request": 4}
        missing, now = list[int](), [100.0]
        embedder = HttpEmbedder(EmbeddingSettings(**usual | changes), on_missing=missing.append, clock=lambda: now[0])
        made.append(Parts(embedder, missing, now))
        return made[-1]

    yield make
    for one in made:
        one.embedder.close()


def rows(found: Embedded | None) -> list[bool]:
    """Say which rows have an embedding."""
    assert found is not None
    return [not np.isnan(vector).any() for vector in found.vectors]


PROMPTS = [f"{'x' * number}" for number in range(1, 11)]


def test_prompts_come_back_in_their_order_and_at_unit_length(
    server: InMemoryEmbeddings, parts: Callable[..., Parts]
) -> None:
    found = parts(api_key="secret").embedder.embed(prompts([None, *PROMPTS, " "]))
    assert rows(found) == [False, *[True] * 10, False]
    assert found is not None
    wanted = np.array([vector_of(prompt) for prompt in PROMPTS])
    unit = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.allclose(found.vectors[1:11], unit, atol=1e-3)
    assert found.version == "small/256/6"
    assert sorted(len(asked["input"]) for asked in server.requests) == [2, 4, 4]
    assert {(asked["model"], asked["encoding_format"]) for asked in server.requests} == {("small", "float")}
    assert server.keys == {"Bearer secret"}


def test_long_prompts_are_cut_and_lone_surrogates_replaced(
    server: InMemoryEmbeddings, parts: Callable[..., Parts]
) -> None:
    assert rows(parts(max_tokens=8).embedder.embed(prompts(["y" * 2_000_000, "half \ud83d a pair"]))) == [True, True]
    assert [asked["input"] for asked in server.requests] == [["y" * 32, "half ? a pair"]]


def test_a_refused_prompt_is_cut_further_and_then_alone_without_an_embedding(
    server: InMemoryEmbeddings, parts: Callable[..., Parts]
) -> None:
    server.answer = lambda texts: (400, {}) if any("!" in text or len(text) > 300 for text in texts) else None
    made = parts()
    assert rows(made.embedder.embed(prompts(["a", "b!", "c", "d" * 1000]))) == [True, False, True, True]
    assert made.missing == [1]


def test_while_the_server_is_away_prompts_have_no_embedding_and_it_is_asked_again_later(
    server: InMemoryEmbeddings, parts: Callable[..., Parts]
) -> None:
    made = parts()
    server.answer = lambda _texts: (503, {})
    assert made.embedder.embed(prompts(PROMPTS)) is None  # nobody knows yet how long a vector is
    asked = len(server.requests)
    assert made.embedder.embed(prompts(PROMPTS)) is None
    assert len(server.requests) == asked
    server.answer = lambda _texts: None
    made.now[0] += PAUSE_SECONDS
    assert rows(made.embedder.embed(prompts(PROMPTS))) == [True] * 10
    server.answer = lambda _texts: (500, {})
    assert rows(made.embedder.embed(prompts(PROMPTS))) == [False] * 10
    assert made.missing == [10, 10, 10]


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"data": []}),
        (200, {"data": [{"index": 0, "embedding": []}] * 4}),
        (200, {"error": "no"}),
        (400, {"error": "no such model"}),
        (401, {}),
        (404, {}),
    ],
    ids=["no rows", "empty vectors", "no list", "everything refused", "a wrong key", "no such path"],
)
def test_an_answer_that_is_none_costs_the_embeddings_alone(
    server: InMemoryEmbeddings, parts: Callable[..., Parts], answer: Answer
) -> None:
    server.answer = lambda _texts: answer
    made = parts()
    assert made.embedder.embed(prompts(PROMPTS)) is None
    assert made.missing == [10]
    assert len(server.requests) <= 9


def test_another_model_behind_the_same_name_is_another_version(
    server: InMemoryEmbeddings, parts: Callable[..., Parts]
) -> None:
    made = parts(dimensions=6)
    assert (first := made.embedder.embed(prompts(PROMPTS))) is not None
    server.width = 12
    assert made.embedder.embed(prompts(PROMPTS)) is None
    made.now[0] += PAUSE_SECONDS
    assert (second := made.embedder.embed(prompts(PROMPTS))) is not None
    assert (first.version, second.version) == ("small/256/6", "small/256/12to6")
    assert second.vectors.shape == (10, 6)


def test_a_server_that_hangs_holds_a_batch_no_longer_than_its_time(server: InMemoryEmbeddings) -> None:
    release = threading.Event()

    def hang(_texts: list[str]) -> Answer | None:
        release.wait(10)
        return None

    server.answer = hang
    missing: list[int] = []
    settings = EmbeddingSettings(backend="http", url=server.url, model="small", timeout_seconds=0.2)
    embedder = embedder_of(settings, on_missing=missing.append)
    assert embedder is not None
    assert embedder.embed(prompts(PROMPTS)) is None
    assert not release.is_set()
    release.set()
    embedder.close()
    assert missing == [10]


def test_a_trace_is_observed_whether_or_not_its_prompt_can_be_embedded(
    server: InMemoryEmbeddings, parts: Callable[..., Parts]
) -> None:
    made = parts()
    observer = Observer(
        ObserveRules(), names=InMemoryCohortNames(50), repeats=InMemoryRepeats(ObserveRules().repeat_window),
        embedder=made.embedder,
    )  # fmt: skip
    repeat = trace(1, trace_id="again")
    traces = [trace(0), trace(1), repeat]
    known = observer.observe(traces).entry.subjects.decoded
    assert known is not None
    assert known.version == "prompt-1+small/256/6"
    assert known.embedding is not None
    assert np.isnan(known.embedding).any(axis=1).tolist() == [False, False, True]  # nothing of a repeat is observed
    server.answer = lambda _texts: (503, {})
    entry = observer.observe(traces).entry
    assert len(entry.subjects) == 3
    assert entry.subjects.decoded is not None
    assert np.isnan(entry.subjects.decoded.embedding).all()  # type: ignore[arg-type]


def test_a_projection_keeps_what_is_alike_alike() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((200, 384)).astype(np.float32)
    vectors[100:] = vectors[:100] + 0.3 * vectors[100:]
    short = Projection(384, 32).apply(vectors).astype(np.float64)
    alike = np.sum(short[:100] * short[100:], axis=1)
    others = np.sum(short[:100] * np.roll(short[:100], 1, axis=0), axis=1)
    assert alike.mean() == pytest.approx(0.96, abs=0.05)
    assert others.mean() == pytest.approx(0.0, abs=0.05)
    assert others.std() == pytest.approx(32**-0.5, abs=0.05)
    assert np.isnan(Projection(384, 32).apply(np.zeros((1, 384), np.float32))).all()


def test_the_projection_is_the_same_on_every_machine() -> None:
    assert (signs(384, 32)[0, :8] > 0).tolist() == [True, True, False, True, False, True, True, False]
