"""Promotions in the whole program: a shadow, a promoted policy that is told of, and both bake windows."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import httpx
import pytest

from monitor.domain.job import Action
from monitor.domain.telling import SIGNATURE_HEADER, verify
from monitor.domain.trace import Message
from monitor.postgres.engine import create_engine_for
from monitor.postgres.registry import RewardRegistry
from monitor.runs.artifact import Artifact, artifact_sha256
from monitor.runs.policy import POLICY
from monitor.settings.policy import AnnouncementSettings, BakeSettings, PolicySettings, ShadowSettings
from tests.integration.released import passed_job, passed_policy, policy_folder, reward_result
from tests.integration.test_serve_rewards import build
from tests.notified import ReceiverServer
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
SECRET = "a secret of the two alone"
WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")


def answers(first: int, stop: int, **changes: object) -> list[bytes | None]:
    said = [" ".join(random.Random(number).choices(WORDS, k=12)) for number in range(first, stop)]
    return [
        line(trace(first + place, response=words, messages=(Message("user", words[::-1]),), **changes))
        for place, words in enumerate(said)
    ]


def test_a_shadow_is_cast_and_a_policy_s_promotion_is_told_and_bakes(
    kafka: Kafka, postgres_url: str, tmp_path: Path
) -> None:
    site = Site(kafka, postgres_url, reward_model=build(tmp_path / "champion", range(1)) / "member-0")
    with ReceiverServer() as server:
        policy = PolicySettings(model=policy_folder(tmp_path / "policy", "the first"), served_as="chat-1", name="chat")
        told = AnnouncementSettings(webhook=server.url, webhook_secret=SECRET)
        usual = site.settings()
        retrain = usual.retrain.model_copy(
            update={
                "policy": policy,
                "announcements": told,
                "shadow": ShadowSettings(traces=20),
                "bake": BakeSettings(traces=10),
            }
        )
        with running(usual.model_copy(update={"retrain": retrain})) as daemon:
            site.send(answers(0, 40, policy_model="chat-1"))
            wait_for(lambda: site.count("score") == 40, "the champion's scores")
            engine = create_engine_for(postgres_url)
            registry = RewardRegistry(engine)
            champion, first = registry.champion(), registry.champion(POLICY)
            folder = build(tmp_path / "candidate", range(7, 8))
            candidate = Artifact("refreshed", str(folder), artifact_sha256(folder))
            passed_job(engine, Action.REWARD_REFRESH, reward_result(candidate), champion)
            passed_policy(engine, tmp_path / "tuned", "the second", first)
            wait_for(lambda: registry.champion_version() == "refreshed", "the refreshed ensemble's promotion")
            assert site.count("shadow_score") == 20
            wait_for(lambda: len(server.posted) == 1, "the announcement")
            serve = json.loads(server.posted[0].body)["serve"]
            verify(SECRET, server.posted[0].body, server.posted[0].headers[SIGNATURE_HEADER], now=time.time())
            address = f"http://127.0.0.1:{daemon.port}"
            baking = httpx.get(f"{address}/api/v1/bakes").json()
            assert {(bake["role"], bake["observed_as"], bake["state"]) for bake in baking} == {
                ("reward", "refreshed", "baking"),
                ("policy", serve["policy_model"], "baking"),
            }
            wait_for(lambda: daemon._scorer.version() == "refreshed", "the ensemble in use")
            site.send(answers(40, 60, policy_model=serve["policy_model"]))
            wait_for(lambda: httpx.get(f"{address}/api/v1/bakes").json() == [], "both windows' good end")
            assert set(site.query("select role, state from bake")) == {("reward", "passed"), ("policy", "passed")}
            shown = httpx.get(f"{address}/metrics").text
            assert 'monitor_announcements_waiting{channel="webhook"} 0.0' in shown
            assert 'monitor_bakes{role="policy",state="baking"} 0.0' in shown
            assert httpx.get(f"{address}/readyz").json()["parts"]["shadow"] == ""
            engine.dispose()
