"""A policy behind a real OpenAI-compatible server: who fails is counted, who is busy is asked again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitor.demo.traffic import NORMAL, traffic
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.runs.policy import AnsweringServer
from retrain.ask_server import ServedPolicy
from retrain.generate import Answer, Decoding, Unanswered
from tests.reference_server import Reply, TroubledServer

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
ASKED = list(
    dict.fromkeys(
        json.loads(record)["messages"][0]["content"]
        for record in traffic(NORMAL, count=200, seed=1, start=SINCE, step=timedelta(seconds=1))
        if record.endswith(b"}") and b'"messages"' in record
    )
)[:40]
PROMPTS = [[Message("user", text)] for text in ASKED]
GREEDY = Decoding(max_new_tokens=64, temperature=0.0, seed=1, batch_tokens=1024)


def ask(server: TroubledServer) -> list[Answer | Unanswered]:
    told = AnsweringServer(url=server.url, model=None, api_key_variable="POLICY_KEY")
    policy = ServedPolicy(
        told, concurrency=4, timeout_seconds=10.0, environment={"POLICY_KEY": "k-1"}, sleep=lambda _seconds: None
    )
    return policy.answer(PROMPTS, GREEDY)


def test_every_prompt_is_answered_in_its_place_with_the_key_of_the_environment() -> None:
    with TroubledServer() as server:
        found = ask(server)
    assert all(isinstance(answer, Answer) and answer.text for answer in found)
    assert server.keys == {"Bearer k-1"}
    assert set(server.answered) == set(ASKED)


def test_a_busy_server_is_asked_again() -> None:
    seen: set[str] = set()

    def busy(_number: int, prompt: str) -> Reply | None:
        again = prompt in seen
        seen.add(prompt)
        return None if again else Reply(status=503, headers={"Retry-After": "0"})

    with TroubledServer(trouble=busy) as server:
        found = ask(server)
    assert all(isinstance(answer, Answer) for answer in found)
    assert set(server.asked.values()) == {2}


def test_what_fails_for_good_is_left_unanswered_and_the_rest_is_not() -> None:
    with TroubledServer(trouble=lambda _, prompt: Reply(500) if prompt in {ASKED[0], ASKED[20]} else None) as server:
        found = ask(server)
    gone = [place for place, answer in enumerate(found) if isinstance(answer, Unanswered)]
    assert gone == [0, 20]
    assert all(found[place] == Unanswered("failed: HTTP 500") for place in gone)


def test_a_server_that_fails_too_often_is_not_asked_any_further() -> None:
    with TroubledServer(trouble=lambda _number, _prompt: Reply(500)) as server:
        found = ask(server)
    assert all(isinstance(answer, Unanswered) for answer in found)
    assert len(server.asked) < len(PROMPTS) / 2


def test_a_cut_answer_says_so() -> None:
    reply = {"choices": [{"message": {"content": "It goes on"}, "finish_reason": "length"}]}
    with TroubledServer(trouble=lambda _number, _prompt: Reply(body=json.dumps(reply).encode())) as server:
        assert ask(server)[0] == Answer("It goes on", cut=True)


def test_a_key_that_is_not_there_is_named() -> None:
    server = AnsweringServer(url="http://127.0.0.1:1", model=None, api_key_variable="POLICY_KEY")
    with pytest.raises(InvalidInput, match="the environment variable POLICY_KEY is not set"):
        ServedPolicy(server, concurrency=1, timeout_seconds=1.0, environment={})
