"""A promoted policy is told of: by a real webhook and a real topic, in order, at least once, and signed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaConsumer
from pydantic import ValidationError
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from monitor.app.release import adopt_given_models, tellers_of
from monitor.cli.root import app
from monitor.domain.order import JobOrder
from monitor.domain.release import Channel
from monitor.domain.telling import EVENT_HEADER, ID_HEADER, SIGNATURE_HEADER, retry_seconds, verify
from monitor.errors import InvalidInput
from monitor.postgres.announcements import AnnouncementLog
from monitor.retraining.telling import Teller
from monitor.runs.policy import POLICY
from monitor.settings.kafka import KafkaSettings
from monitor.settings.policy import AnnouncementSettings, PolicySettings
from monitor.settings.retrain import RetrainSettings
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings
from tests.integration.job_parts import OPERATOR, Parts, wait_until
from tests.integration.released import passed_policy, policy_folder
from tests.notified import ReceiverServer, Reply
from tests.real_kafka import Kafka

pytestmark = pytest.mark.postgres
SECRET = "a secret of the two alone"
KILLED = Path(__file__).with_name("telling_program.py")


def settings_for(url: str | None = None, *, kafka: KafkaSettings | None = None) -> Settings:
    told = AnnouncementSettings(
        webhook=url, webhook_secret=None if url is None else SECRET, timeout_seconds=5.0, kafka=kafka is not None
    )
    reached = kafka or KafkaSettings()
    return Settings(kafka=reached, rewards=RewardsSettings(backend="none"), retrain=RetrainSettings(announcements=told))


@pytest.fixture
def promoted(parts: Parts) -> int:
    """A policy that was promoted in the place of an adopted one; the job's number."""
    policy = PolicySettings(model=policy_folder(parts.folder / "policy", "the first"), served_as="chat-1")
    adopt_given_models(
        parts.engine, Settings(rewards=RewardsSettings(backend="none"), retrain=RetrainSettings(policy=policy))
    )
    champion = parts.registry.champion(POLICY)
    job_id = passed_policy(parts.engine, parts.folder / "candidate", "the second", champion)
    parts.service.move_job(job_id, JobOrder.APPROVE, actor=OPERATOR)
    return job_id


def teller_of(engine: Engine, settings: Settings, channel: Channel) -> Teller:
    return tellers_of(settings, AnnouncementLog(engine))[channel]


def tell_until(teller: Teller, condition: Callable[[], bool]) -> None:
    def turn() -> bool:
        teller.turn()
        return condition()

    wait_until(turn)


def told(parts: Parts, channel: Channel) -> list[bool]:
    """Say of each announcement, the oldest first, whether *channel* has told it."""
    newest = AnnouncementLog(parts.engine).announcements(limit=10)
    return [
        any(one.channel is channel and one.delivered_at is not None for one in announcement.deliveries)
        for announcement in reversed(newest)
    ]


def test_a_promotion_and_its_roll_back_are_posted_in_order_with_all_that_serving_needs(
    parts: Parts, promoted: int
) -> None:
    parts.service.move_job(promoted, JobOrder.ROLLBACK, actor=OPERATOR)
    with ReceiverServer() as server:
        tell_until(teller_of(parts.engine, settings_for(server.url), Channel.WEBHOOK), lambda: len(server.posted) == 2)
    first, second = (json.loads(posted.body) for posted in server.posted)
    champion = parts.registry.champion(POLICY)
    assert champion is not None
    assert (first["event"], second["event"]) == ("policy.promoted", "policy.rolled_back")
    assert first["serve"]["policy_model"] == f"policy-{first['serve']['version']}"
    assert first["serve"]["artifact"]["path"] == str(parts.folder / "candidate")
    assert len(first["serve"]["artifact"]["sha256"]) == 64
    assert first["instead_of"]["policy_model"] == "chat-1"
    assert first["lineage"]["recipe"] == {"beta": 0.1}
    assert first["verdict"]["checks"][0]["name"] == "win_rate"
    assert first["card"].startswith(f"# Policy model {first['serve']['version']}")
    assert "promoted by ada" in first["card"]
    assert (second["serve"]["version"], second["serve"]["policy_model"]) == (champion.version, "chat-1")
    assert second["instead_of"] == first["serve"]
    assert second["id"] > first["id"]
    for posted, payload in zip(server.posted, (first, second), strict=True):
        assert posted.headers[EVENT_HEADER] == payload["event"]
        assert posted.headers[ID_HEADER] == str(payload["id"])
        verify(SECRET, posted.body, posted.headers[SIGNATURE_HEADER], now=time.time())


def test_a_signature_holds_for_its_secret_its_body_and_its_time_alone(parts: Parts, promoted: int) -> None:
    with ReceiverServer() as server:
        tell_until(teller_of(parts.engine, settings_for(server.url), Channel.WEBHOOK), lambda: len(server.posted) == 1)
    body, signature, now = server.posted[0].body, server.posted[0].headers[SIGNATURE_HEADER], time.time()
    with pytest.raises(InvalidInput, match="not signed with this secret"):
        verify("another secret", body, signature, now=now)
    with pytest.raises(InvalidInput, match="the body was changed"):
        verify(SECRET, body.replace(b"policy.promoted", b"policy.rolled_back"), signature, now=now)
    with pytest.raises(InvalidInput, match="signed 600 s ago"):
        verify(SECRET, body, signature, now=int(signature[2 : signature.index(",")]) + 600)
    for broken in ("", "v1=00", "t=x,v1=00", "t=1"):
        with pytest.raises(InvalidInput, match="wanted t=SECONDS,v1=HEX"):
            verify(SECRET, body, broken, now=now)


def test_a_listener_that_refuses_is_asked_again_with_the_same_bytes_until_it_takes_it(
    parts: Parts, promoted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_POSTGRES__URL", parts.engine.url.render_as_string(hide_password=False))
    log = AnnouncementLog(parts.engine)
    replies = iter([Reply(503, b"not \x1b[2J today"), Reply(302, headers={"Location": "/elsewhere"}), Reply(204, b"")])
    with ReceiverServer(lambda _: next(replies)) as server:
        teller = teller_of(parts.engine, settings_for(server.url), Channel.WEBHOOK)
        tell_until(teller, lambda: len(log.announcements(limit=1)[0].deliveries) == 1)
        (delivery,) = log.announcements(limit=1)[0].deliveries
        assert (delivery.attempts, delivery.error) == (1, r"HTTP 503 not \x1b[2J today")
        assert delivery.retry_at is not None
        assert not teller.turn(), "it waits"
        assert len(server.posted) == 1
        for _ in range(2):
            with parts.engine.begin() as connection:
                connection.execute(text("update announcement_delivery set retry_at = now()"))
            before = len(server.posted)
            tell_until(teller, lambda before=before: len(server.posted) > before)  # type: ignore[misc]
            tell_until(teller, lambda: log.announcements(limit=1)[0].deliveries[0].attempts == len(server.posted))
    (delivery,) = log.announcements(limit=1)[0].deliveries
    shown = CliRunner().invoke(app, ["models", "announcements", "--json"])
    assert json.loads(shown.stdout)[0]["deliveries"][0]["attempts"] == 3
    assert "policy.promoted" in CliRunner().invoke(app, ["models", "announcements"]).stdout
    assert (delivery.attempts, delivery.error) == (3, None)
    assert delivery.delivered_at is not None
    assert len({posted.body for posted in server.posted}) == 1
    assert log.waiting(Channel.WEBHOOK).announcements == 0
    assert log.waiting(Channel.KAFKA).announcements == 1
    assert [retry_seconds(attempts) for attempts in (1, 2, 3, 20)] == [2, 4, 8, 300]


def test_a_listener_that_is_slow_holds_no_turn_up(parts: Parts, promoted: int) -> None:
    released = threading.Event()
    with ReceiverServer(lambda _: Reply(200 if released.wait(60) else 500)) as server:
        teller = teller_of(parts.engine, settings_for(server.url), Channel.WEBHOOK)
        began = time.monotonic()
        for _ in range(20):
            assert not teller.turn()
        assert time.monotonic() - began < 20.0
        wait_until(lambda: len(server.posted) == 1)
        assert told(parts, Channel.WEBHOOK) == [False]
        released.set()
        tell_until(teller, lambda: told(parts, Channel.WEBHOOK) == [True])


def test_a_leader_that_is_killed_between_the_post_and_its_note_has_it_told_twice_with_one_id(
    parts: Parts, promoted: int
) -> None:
    url = parts.engine.url.render_as_string(hide_password=False)
    with ReceiverServer() as server:
        killed = subprocess.Popen([sys.executable, str(KILLED), url, server.url])
        wait_until(lambda: len(server.posted) == 1)
        killed.kill()
        killed.wait()
        assert told(parts, Channel.WEBHOOK) == [False]
        teller = teller_of(parts.engine, settings_for(server.url), Channel.WEBHOOK)
        tell_until(teller, lambda: told(parts, Channel.WEBHOOK) == [True])
    once, again = server.posted
    assert once.headers[ID_HEADER] == again.headers[ID_HEADER]
    assert once.body == again.body


def test_a_late_word_of_a_leader_that_was_replaced_takes_nothing_back(parts: Parts, promoted: int) -> None:
    log = AnnouncementLog(parts.engine)
    number = log.announcements(limit=1)[0].announcement_id
    log.told(number, Channel.WEBHOOK)
    log.failed(number, Channel.WEBHOOK, "timed out", retry_seconds=1.0)
    assert told(parts, Channel.WEBHOOK) == [True]


@pytest.mark.kafka
def test_a_topic_is_told_too_and_a_dead_webhook_does_not_hold_it_up(parts: Parts, promoted: int, kafka: Kafka) -> None:
    topic = f"promotions-{uuid4().hex}"
    kafka.create_topic(topic, partitions=3)
    reached = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers, api_version=kafka.api_version, promotion_topic=topic
    )
    settings = settings_for("http://127.0.0.1:9/none", kafka=reached)
    parts.service.move_job(promoted, JobOrder.ROLLBACK, actor=OPERATOR)
    tellers = tellers_of(settings, AnnouncementLog(parts.engine))
    for teller in (tellers[Channel.WEBHOOK], tellers[Channel.KAFKA]):
        teller.turn()
    tell_until(tellers[Channel.KAFKA], lambda: told(parts, Channel.KAFKA) == [True, True])
    assert told(parts, Channel.WEBHOOK) == [False, False]
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap_servers,
        api_version=kafka.api_version,
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
    )
    records = [next(consumer), next(consumer)]
    consumer.close()
    assert len({(record.key, record.partition) for record in records}) == 1, "one policy, one partition, one order"
    assert [dict(record.headers)[EVENT_HEADER] for record in records] == [b"policy.promoted", b"policy.rolled_back"]
    assert json.loads(records[0].value)["serve"]["policy_model"].startswith("policy-")


def test_a_webhook_without_a_secret_is_refused() -> None:
    with pytest.raises(ValidationError, match="webhook without webhook_secret"):
        AnnouncementSettings(webhook="http://serving.example.org/policies")
