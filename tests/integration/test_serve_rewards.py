"""`serve-rewards` with real models: vLLM's recorded exchanges, the scores of the ensemble itself, and its limits."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.app.wiring import http_scorer_of
from monitor.cli.rewards import RewardService
from monitor.demo.models import build_tiny_base
from monitor.domain.trace import Message
from monitor.errors import InvalidSetting, Unavailable
from monitor.rewards.http import Row
from monitor.rewards.huggingface import load_ensemble
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings
from tests.ports import free_port
from tests.program import Site, running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import line, trace

WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")
CHAT_TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
MAX_TOKENS = 64


def text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def build(folder: Path, seeds: range, *, template: str | None = None) -> Path:
    for number, seed in enumerate(seeds):
        member = folder / f"member-{number}"
        build_tiny_base(member, [text(30, line) for line in range(50)], seed=seed)
        if template is not None:
            (member / "chat_template.jinja").write_text(template)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plain"), range(2))


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("chatting"), range(2, 4), template=CHAT_TEMPLATE)


def settings_of(*, port: int = 0, **serve: int) -> Settings:
    rewards = RewardsSettings(device="cpu", max_tokens=MAX_TOKENS, batch_tokens=1024)
    return Settings().model_copy(
        update={"rewards": rewards, "serve": Settings().serve.model_copy(update={"port": port, **serve})}
    )


@contextmanager
def serving(folder: Path, **settings: int) -> Iterator[tuple[RewardService, httpx.Client]]:
    """Serve in a thread; what `run` raises comes out on leaving."""
    service, stop = RewardService(settings_of(**settings), [folder]), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(service.run, stop)
        try:
            wait_for(lambda: service.health.ready()[0] or ended.done(), "the service")
            with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
                yield service, client
        finally:
            stop.set()
        ended.result(30)


@pytest.fixture(scope="module")
def client(plain: Path) -> Iterator[httpx.Client]:
    with serving(plain) as (_, client):
        yield client


def ask(client: httpx.Client, **request: Any) -> httpx.Response:
    return client.post("/classify", json=request)


def probs(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    return [row["probs"][0] for row in response.json()["data"]]


def shape(value: Any) -> Any:
    """Return the names and types of a body; of a list, those that occur in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        kinds: list[Any] = []
        for inner in map(shape, value):
            if inner not in kinds:
                kinds.append(inner)
        return kinds
    return type(value).__name__


def replay(client: httpx.Client, exchange: dict[str, Any]) -> httpx.Response:
    request = exchange["request"]
    if request is None or isinstance(request, str):
        return client.request(exchange["method"], exchange["path"], content=request)
    request = {**request, "model": "reward"} if request.get("model") == "tinyrm" else dict(request)
    if exchange["name"] == "too long":
        request["input"] = "word " * 6000  # recorded as an expression
    return client.request(exchange["method"], exchange["path"], json=request)


@pytest.mark.shared_data
def test_every_recorded_exchange_with_vllm_has_the_same_status_and_the_same_shape(
    client: httpx.Client, shared_data: Path
) -> None:
    exchanges = json.loads((shared_data / "vllm_classify" / "exchanges.json").read_text())["exchanges"]
    answers = [replay(client, exchange) for exchange in exchanges]

    assert len(answers) == 18
    for exchange, answer in zip(exchanges, answers, strict=True):
        body: Any = answer.json() if answer.content else ""
        if exchange["name"] == "models":  # an ensemble's members have a parent
            body["data"] = body["data"][:1]
        assert (exchange["name"], answer.status_code) == (exchange["name"], exchange["status"])
        assert (exchange["name"], shape(body)) == (exchange["name"], shape(exchange["response"]))
        if "error" in (exchange["response"] or {}):
            assert body["error"]["type"] == exchange["response"]["error"]["type"]
            assert body["error"]["code"] == answer.status_code


ROWS: list[Row] = [
    *(((Message("user", text(1 + seed % 9, seed)),), text(1 + seed % 30, seed + 1)) for seed in range(30)),
    ((Message("user", text(200, 1)),), text(20, 2)),  # longer than a member reads
    ((Message("user", "why?"),), "\ud800"),
    ((), "no prompt"),
]


@pytest.mark.parametrize(
    ("models", "form"),
    [
        pytest.param("plain", "text", id="lines for models without a chat template"),
        pytest.param("plain", "messages", id="conversations for models without a chat template"),
        pytest.param("chatting", "messages", id="conversations for models with a chat template"),
    ],
)
def test_scores_over_http_are_those_of_the_ensemble_in_this_process(
    models: str, form: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(models)
    expected = load_ensemble([folder], device="cpu", max_tokens=MAX_TOKENS, batch_tokens=1024, beta=1.0).score(ROWS)

    with serving(folder) as (service, _):
        rewards = {"endpoints": [{"url": f"http://127.0.0.1:{service.port}/"}], "form": form, "max_tokens": MAX_TOKENS}
        scorer = http_scorer_of(RewardsSettings.model_validate({"backend": "http", **rewards}))
        assert scorer.follow() is None
        got = scorer.current().score(ROWS)
        scorer.close()

    assert [reward is None for reward in got] == [reward is None for reward in expected]
    assert [index for index, reward in enumerate(got) if reward is None] == [31]
    for over_http, here in zip(got, expected, strict=True):
        if over_http is not None and here is not None:
            assert over_http.members == pytest.approx(here.members, abs=1e-5)
            assert over_http.lower == pytest.approx(here.lower, abs=1e-5)
    assert len({round(reward.mean, 4) for reward in got if reward}) > 20


def test_the_ensembles_name_answers_with_the_mean_of_its_members(client: httpx.Client) -> None:
    texts = [text(5, 1), text(9, 2)]
    answers = {
        name: probs(ask(client, model=name, input=texts, use_activation=False))
        for name in ("member-0", "member-1", "reward")
    }
    activated = probs(ask(client, input=texts))

    assert answers["member-0"] != pytest.approx(answers["member-1"], abs=1e-3)
    assert answers["reward"] == pytest.approx(np.mean([answers["member-0"], answers["member-1"]], axis=0), abs=1e-6)
    assert activated == pytest.approx(1 / (1 + np.exp(-np.array(answers["reward"]))), abs=1e-6)


def test_another_ensemble_behind_the_url_refuses_the_names_of_the_one_before(plain: Path, chatting: Path) -> None:
    with serving(plain) as (service, client):
        before = [card["id"] for card in client.get("/v1/models").json()["data"]]
        scorer = http_scorer_of(settings_for(service.port).rewards)
        first = scorer.current().score(ROWS[:1])[0]
    with serving(chatting, port=service.port) as (_, client):
        again = scorer.current().score(ROWS[:1])[0]
        statuses = [ask(client, model=name, input="x").status_code for name in before]
    scorer.close()

    assert statuses == [200, 404, 404]  # the ensemble's own name is a promise of no version
    assert first is not None
    assert again is not None
    assert first.scorer_version != again.scorer_version
    assert first.members != pytest.approx(again.members, abs=1e-3)


def settings_for(port: int) -> Settings:
    rewards = {"backend": "http", "endpoints": [{"url": f"http://127.0.0.1:{port}"}], "attempts": 1}
    return Settings(rewards=RewardsSettings.model_validate(rewards))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, id="nested without end"),
        pytest.param(b'{"input": "\xff"}', 400, id="not UTF-8"),
        pytest.param(b'{"input": [' + b"9" * 5000 + b"]}", 400, id="a number of thousands of digits"),
        pytest.param(b'{"input": [1, 99999999]}', 400, id="a token the model does not know"),
        pytest.param(b'{"input": [[1], []]}', 400, id="no tokens"),
        pytest.param(b'{"input": "\\ud800"}', 400, id="a lone surrogate"),
        pytest.param(b'{"messages": []}', 400, id="no messages"),
        pytest.param(b'{"input": "x", "truncate_prompt_tokens": 65}', 400, id="more tokens than the model reads"),
        pytest.param(b'{"input": "' + b"x" * 70_000 + b'"}', 413, id="too many bytes"),
        pytest.param(json.dumps({"input": ["x"] * 6}).encode(), 400, id="too many prompts"),
        pytest.param(b"[]", 400, id="not an object"),
    ],
)
def test_a_hostile_request_is_refused_in_vllms_words(strict: httpx.Client, body: bytes, status: int) -> None:
    answer = strict.post("/classify", content=body)

    assert answer.status_code == status
    assert shape(answer.json()["error"]).keys() == {"message", "type", "param", "code"}
    assert strict.get("/health").status_code == 200


@pytest.fixture(scope="module")
def strict(plain: Path) -> Iterator[httpx.Client]:
    with serving(plain, max_request_bytes=65_536, max_request_rows=5) as (_, client):
        yield client


class Held:
    """Holds a member's scoring until it is let go, or lets it fail."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.failure: Exception | None = None
        self.sizes: list[int] = []

    def around(self, score: Callable[..., NDArray[np.float64]]) -> Callable[..., NDArray[np.float64]]:
        def held(member: int, tokens: Any) -> NDArray[np.float64]:
            self.sizes.append(len(tokens))
            self.entered.set()
            assert self.go.wait(30)
            if self.failure is not None:
                raise self.failure
            return score(member, tokens)

        return held


def test_requests_that_wait_are_scored_together_and_too_many_are_refused(plain: Path) -> None:
    held = Held()
    with serving(plain, max_requests=4) as (service, client), ThreadPoolExecutor(4) as pool:
        alone = [probs(ask(client, input=text(3, seed)))[0] for seed in range(4)]
        service._served.score = held.around(service._served.score)  # type: ignore[method-assign]
        first = pool.submit(ask, client, input=text(3, 0))
        assert held.entered.wait(30)
        rest = [pool.submit(ask, client, input=text(3, seed)) for seed in range(1, 4)]
        wait_for(lambda: "requests_in_flight 4.0" in client.get("/metrics").text, "the requests")
        wait_for(lambda: len(service._thread._waiting) == 3, "the queue")
        refused = ask(client, input="one too many")
        held.go.set()
        answers = [probs(answer.result(30))[0] for answer in [first, *rest]]

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert answers == pytest.approx(alone, abs=1e-5)
    assert held.sizes == [1, 1, 3, 3]  # each member: the first request, then the three that waited


def test_a_scoring_thread_that_dies_ends_the_service_and_answers_who_waits(plain: Path) -> None:
    held = Held()
    statuses: list[int] = []
    held.failure = MemoryError("the device is gone")

    def fail() -> None:
        with serving(plain) as (service, client), ThreadPoolExecutor(2) as pool:
            service._served.score = held.around(service._served.score)  # type: ignore[method-assign]
            waiting = [pool.submit(ask, client, input="x") for _ in range(2)]
            wait_for(lambda: sum(held.sizes) + len(service._thread._waiting) == 2, "both requests")
            held.go.set()
            statuses.extend(answer.result(30).status_code for answer in waiting)
            with pytest.raises(Unavailable):
                service._thread.submit(None)  # type: ignore[arg-type]

    with pytest.raises(MemoryError, match="the device is gone"):
        fail()
    assert statuses == [503, 503]


def test_health_tells_of_a_part_that_is_not_ready(plain: Path) -> None:
    with serving(plain) as (service, client):
        service.health.set_not_ready("scoring", "failed: MemoryError")

        assert client.get("/health").status_code == 503


def test_the_metrics_count_answers_rows_and_tokens(plain: Path) -> None:
    with serving(plain) as (_, client):
        probs(ask(client, input=["press refund", "wait three days"]))
        ask(client, input="")
        page = client.get("/metrics").text

    assert 'monitor_serve_requests_total{status="200"} 1.0' in page
    assert 'monitor_serve_requests_total{status="400"} 1.0' in page
    assert "monitor_serve_batch_rows_sum 2.0" in page
    assert "monitor_scored_tokens_total" in page


def test_the_command_serves_until_it_is_told_to_end(plain: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
    environment |= {"MONITOR_SERVE__PORT": str(port), "MONITOR_REWARDS__DEVICE": "cpu"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "serve-rewards", str(plain)],
            cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is not None or answers(port), "the server")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_service_without_models_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidSetting, match="no reward model is named"):
        RewardService(settings_of(), [])


def test_the_bounds_of_a_connection_hold_for_the_scorer_too(client: httpx.Client) -> None:
    port = client.base_url.port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as half, half.makefile("rb") as answer:
        half.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\n")
        assert answer.readline() == b"HTTP/1.1 408 \r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as large, large.makefile("rb") as answer:
        large.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000)
        assert answer.readline().startswith(b"HTTP/1.1 400")
    assert [client.head(path).status_code for path in ("/health", "/metrics", "/version")] == [200] * 3


@pytest.mark.kafka
@pytest.mark.postgres
def test_a_daemon_waits_for_the_reward_server_and_then_scores_every_trace(
    kafka: RealKafka, postgres_url: str, plain: Path
) -> None:
    site, port = Site(kafka, postgres_url), free_port()
    rewards = settings_for(port).rewards
    site.send([line(trace(number)) for number in range(120)])
    with running(site.settings().model_copy(update={"rewards": rewards})) as daemon:
        wait_for(lambda: "ConnectError" in daemon.health.ready()[1]["worker"], "the worker's wait")
        assert site.count("trace") == 0
        with serving(plain, port=port):
            wait_for(lambda: site.count("trace") == 120, "the traces")
            wait_for(lambda: daemon.health.ready()[0], "readiness")

    versions = {version for (version,) in site.query("select distinct scorer_version from score")}
    assert len(versions) == 1
    assert site.count("score") == 120
