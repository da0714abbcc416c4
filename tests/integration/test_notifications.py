"""People are told of incidents by the daemon itself: stored before it is sent, each receiver by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, text

from monitor.app.notifying import Notified, receivers_of
from monitor.domain.order import Actor, AlarmOrder, Role
from monitor.domain.telling import SIGNATURE_HEADER, verify
from monitor.errors import Fenced, InvalidSetting, Unavailable
from monitor.notify.notice import Notice
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.leader import Leadership
from monitor.postgres.views.console import PostgresConsole
from monitor.postgres.views.overview import PostgresOverview
from monitor.settings.notify import MailReceiver, PagerDutyReceiver, SlackReceiver, WebhookReceiver
from monitor.telemetry.notify import OUTCOMES
from tests.commands import Run
from tests.integration.telling import (
    SECRET,
    Leader,
    due_now,
    open_incidents,
    recover,
    stored,
    telling,
    webhook_at,
)
from tests.notified import Posted, ReceiverServer, Reply, SlackRoom, notice
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import drifting, line
from tests.watched import watch

pytestmark = pytest.mark.postgres
ANA = Actor("ana", Role.OPERATOR)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def drifted(postgres_url: str, engine: Engine) -> PostgresIncidents:
    """A database with one real incident, an alert."""
    watch(postgres_url, drifting(1200, change=700), baseline=600)
    incidents = PostgresIncidents(engine)
    assert [one.facts.severity for one in incidents.open_incidents()] == ["alert"]
    return incidents


def test_one_incident_is_told_from_its_opening_to_its_end_and_nothing_twice(
    engine: Engine, drifted: PostgresIncidents
) -> None:
    (incident,) = drifted.open_incidents()
    with ReceiverServer() as server:
        settings = telling(webhook={"ops": webhook_at(server.url)})
        leader = Leader(engine, settings)
        leader.until(lambda: stored(engine, "pending is null and told is not null") == [True])
        leader.idle()
        Leader(engine, settings).idle()  # another leader, or this one after a restart
        assert len(server.posted) == 1
        drifted.order_incident(incident.incident_id, AlarmOrder.ACKNOWLEDGE, actor=ANA)
        leader.until(lambda: stored(engine, "told->>'standing'") == ["quiet"])
        drifted.order_incident(incident.incident_id, AlarmOrder.REOPEN, actor=ANA)
        leader.until(lambda: stored(engine, "told->>'standing'") == ["loud"])
        recover(engine)
        leader.until(lambda: stored(engine, "closed") == [True])
        leader.idle()
    bodies = [posted.json for posted in server.posted]
    assert [body["event"].removeprefix("incident.") for body in bodies] == ["opened", "quieted", "raised", "resolved"]
    assert [body["sequence"] for body in bodies] == [1, 2, 3, 4]
    assert len({body["key"] for body in bodies}) == 1
    first = bodies[0]
    assert first["title"].startswith(f"[ALERT] incident {incident.incident_id}: ")
    assert first["lines"][0].startswith(f"since {incident.facts.onset_timestamp:%Y-%m-%d %H:%M} UTC: ")
    assert first["link"] == f"https://monitor.example/incidents/{incident.incident_id}"
    assert bodies[1]["title"].startswith("[acknowledged by ana]")
    for posted in server.posted:
        verify(SECRET, posted.body, posted.headers[SIGNATURE_HEADER], now=time.time())
    assert "Answer" not in str(bodies), "no answer's text"
    assert leader.counted == [("ops", "sent")] * 4


def test_a_receiver_that_fails_is_told_again_with_the_same_bytes_and_holds_no_other_up(
    engine: Engine, drifted: PostgresIncidents
) -> None:
    answers = iter([Reply(503, b"not \x1b[2J now"), Reply(502), Reply(204, b"")])
    before = versions(engine)
    with ReceiverServer() as good, ReceiverServer(lambda _: next(answers)) as bad:
        settings = telling(webhook={"bad": webhook_at(bad.url), "good": webhook_at(good.url)})
        leader = Leader(engine, settings)
        leader.until(lambda: stored(engine, "error is not null") == [True, False])
        leader.until(lambda: stored(engine, "told is not null") == [False, True])
        leader.idle()
        assert (len(bad.posted), len(good.posted)) == (1, 1), "it waits"
        told = Notified.of(engine, settings).receivers_told()
        assert [(one.receiver, one.waiting, one.error) for one in told] == [
            ("bad", 1, r"HTTP 503 not \x1b[2J now"),
            ("good", 0, None),
        ]
        (waits,) = told[0].notices
        assert (waits.event, waits.attempts, waits.error) == ("opened", 1, told[0].error)
        assert (waits.since, waits.incident_id, told[0].told_of) == (told[0].failing_since, told[1].told_of, None)
        assert versions(engine) != before
        with transaction(engine) as connection:
            connection.execute(
                text("update notification set pending_since = now() - interval '3 min' where error != ''")
            )
        leader.until(lambda: len(good.posted) == 2, "that the other is told")
        leader.idle()
        for error in ("HTTP 502 ok", None):  # by leaders that begin anew: who waits after a failure waits in each
            due_now(engine)
            Leader(engine, settings).until(lambda wanted=error: stored(engine, "error")[0] == wanted)  # type: ignore[misc]
        Leader(engine, settings).until(lambda: len(good.posted) == 3, "that it takes messages again")
        leader.idle()
    assert (len(bad.posted), len({posted.body for posted in bad.posted})) == (3, 1)
    opened, over = (posted.json for posted in good.posted[1:])
    assert (opened["event"], opened["severity"], opened["incidents"]) == ("incident.opened", "alert", [])
    assert opened["title"] == "[ALERT] bad takes no messages of rlhf-monitor"
    assert opened["lines"][0].endswith(r"UTC: HTTP 503 not \x1b[2J now")
    assert (over["event"], over["key"]) == ("incident.resolved", opened["key"])
    assert stored(engine, "told is not null") == [True, True, True]


def versions(engine: Engine) -> str:
    """Return by what the overview knows that its incidents have changed, or whom they could not be told to."""
    return PostgresConsole(engine, PostgresOverview(engine, kafka_lag=lambda: None)).versions()["incidents"]


def test_a_receiver_that_asks_for_time_gets_it(engine: Engine, drifted: PostgresIncidents) -> None:
    with ReceiverServer(lambda _: Reply(429, b"", {"Retry-After": "600"})) as server:
        leader = Leader(engine, telling(webhook={"ops": webhook_at(server.url)}))
        leader.until(lambda: stored(engine, "error") == ["HTTP 429"])
        (waits,) = stored(engine, "extract(epoch from retry_at - clock_timestamp())")
        leader.idle()
    assert 500 < waits <= 600
    assert len(server.posted) == 1


def test_what_is_refused_is_tried_once_more_by_a_daemon_that_starts_anew_and_never_else(
    engine: Engine, drifted: PostgresIncidents
) -> None:
    with ReceiverServer(lambda _: Reply(403, b"no")) as server:
        settings = telling(webhook={"ops": webhook_at(server.url)})
        leader = Leader(engine, settings)
        leader.until(lambda: stored(engine, "refused") == [True])
        due_now(engine)
        leader.idle()
        assert len(server.posted) == 1
        assert leader.counted == [("ops", "refused")]
        server.answer = lambda _: Reply()
        mended = Leader(engine, settings)
        mended.until(lambda: stored(engine, "told is not null") == [True])
    assert len(server.posted) == 2


def test_a_leader_that_was_replaced_sends_nothing_and_its_late_word_changes_nothing(
    postgres_url: str, engine: Engine, drifted: PostgresIncidents
) -> None:
    other = create_engine_for(postgres_url)
    first, second = Leadership(other), Leadership(engine)
    with ReceiverServer() as server:
        settings = telling(webhook={"ops": webhook_at(server.url)})
        assert first.acquire()
        replaced = Leader(first.fenced_engine(), settings)
        first.release()
        assert second.acquire()
        with pytest.raises(Fenced):
            replaced.turn()
        assert server.posted == []
        leader = Leader(second.fenced_engine(), settings)
        leader.until(lambda: stored(engine, "told is not null") == [True])
        (posted,) = server.posted
        before = stored(engine, "notification::text")
        late = notice(subject=stored(engine, "subject")[0], sequence=0)
        leader.store.failed("ops", late, "timed out", retry_seconds=1.0, refused=False)
        leader.store.taken("ops", late, "a handle")
    second.release()
    other.dispose()
    assert before == stored(engine, "notification::text")
    assert posted.json["sequence"] == 1


def test_what_became_of_a_message_is_noted_once_the_database_is_back(
    engine: Engine, drifted: PostgresIncidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReceiverServer() as server:
        leader = Leader(engine, telling(webhook={"ops": webhook_at(server.url)}))
        note, fails = leader.store.taken, iter([True, True, False])

        def taken(receiver: str, told: Notice, handle: str | None) -> None:
            if next(fails):
                raise Unavailable("the server is away")
            note(receiver, told, handle)

        monkeypatch.setattr(leader.store, "taken", taken)
        leader.turn()
        wait_for(lambda: len(server.posted) == 1, "the post")
        for _ in range(2):
            with pytest.raises(Unavailable):
                leader.idle()
        due_now(engine)
        leader.until(lambda: stored(engine, "told is not null") == [True])
        assert len(server.posted) == 1


def test_a_storm_is_one_message_and_ends_as_one(engine: Engine) -> None:
    with ReceiverServer() as server:
        leader = Leader(engine, telling(webhook={"ops": webhook_at(server.url, per_hour=2)}))
        open_incidents(engine, 30)
        leader.until(lambda: len(server.posted) == 3)
        leader.idle()
        assert [posted.json["incidents"] for posted in server.posted] == [[1], [2], list(range(3, 31))]
        assert len(server.posted[-1].json["lines"]) == 21
        with transaction(engine) as connection:
            connection.execute(text("update incident set state = 'recovered', recovered_at = now()"))
        leader.until(lambda: len(server.posted) == 6)
        leader.idle()
        assert {posted.json["event"] for posted in server.posted[3:]} == {"incident.resolved"}
    assert stored(engine, "closed") == [True] * 31


@pytest.mark.parametrize(("reads", "posts"), [(True, 1), (False, 2)], ids=["by its metadata", "unless it may not read"])
def test_the_bot_s_message_is_found_again_by_the_next_leader(
    engine: Engine, drifted: PostgresIncidents, reads: bool, posts: int
) -> None:
    room = SlackRoom(reads=reads)
    with ReceiverServer(room) as server:
        settings = telling(slack={"room": {"token": "xoxb", "channel": "C0123456789", "api": server.url}})
        Leader(engine, settings).turn()  # which ends before it notes what became of it
        wait_for(lambda: len(room.messages) == 1, "the post")
        due_now(engine)
        Leader(engine, settings).until(lambda: stored(engine, "handle") == [f"C0123456789/1763780400.{posts:06d}"])
        recover(engine)
        Leader(engine, settings).turn()  # the end is said in the thread, and not noted either
        wait_for(lambda: len(room.messages) == posts + 1, "the end")
        due_now(engine)
        Leader(engine, settings).until(lambda: stored(engine, "closed") == [True])
    assert len(room.messages) == (2 if reads else 4)
    assert {said["channel"] for said in room.messages} == {"C0123456789"}


def test_a_test_message_says_what_came_back(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    def answer(posted: Posted) -> Reply:
        return Reply(200, b"ok") if posted.path == "/good" else Reply(403, b"invalid_token")

    with ReceiverServer(answer) as server:
        secret = tmp_path / "url"
        secret.write_text(f"{server.url}/good\n")
        slack = {"good": {"url_file": str(secret)}, "bad": {"url": f"{server.url}/bad"}}
        given = {"NOTIFY__SLACK": json.dumps(slack)}
        good = run("notify", "test", "good", **given)
        assert (good.code, good.out.strip()) == (0, "good: HTTP 200 ok")
        both = run("notify", "test", **given)
        assert (both.code, both.out.splitlines()[1]) == (1, "bad: HTTP 403 invalid_token (not taken)")
        none = run("notify", "test", "other", **given)
        assert (none.code, "no receiver 'other'" in none.err) == (1, True)
        shown = run("notify", "status", "--json", POSTGRES__URL=postgres_url, **given)
    assert [(row["receiver"], row["kind"], row["waiting"]) for row in json.loads(shown.out)] == [
        ("good", "slack", 0),
        ("bad", "slack", 0),
    ]
    assert "nothing has happened" in server.posted[0].json["text"]


@pytest.mark.kafka
def test_the_daemon_tells_of_a_drift_and_counts_it(kafka: Kafka, postgres_url: str) -> None:
    site = Site(kafka, postgres_url, baseline_traces=600)
    with ReceiverServer() as server:
        usual = site.settings()
        given = telling(webhook={"ops": webhook_at(server.url)})
        with running(usual.model_copy(update={"notify": given.notify})) as daemon:
            site.send([line(item) for item in drifting(1200, change=700)])
            wait_for(lambda: len(server.posted) > 0, "the message")
            assert server.posted[0].json["event"] == "incident.opened"
            wait_for(lambda: sent(daemon.port, "sent") >= 1, "the metric")
            assert {sent(daemon.port, outcome) for outcome in OUTCOMES[1:]} == {0.0}


def sent(port: int, outcome: str) -> float:
    import httpx

    shown = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10.0).text
    wanted = f'monitor_notifications_total{{outcome="{outcome}",receiver="ops"}} '
    return next(float(row.removeprefix(wanted)) for row in shown.splitlines() if row.startswith(wanted))


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        (WebhookReceiver, {"url": "https://a.example"}, "wanted secret or secret_file"),
        (WebhookReceiver, {"url": "https://a.example", "url_file": "/x", "secret": "s"}, "wanted url or url_file"),
        (SlackReceiver, {}, "wanted url, an incoming webhook, or token with channel"),
        (SlackReceiver, {"url": "https://a.example", "token": "x", "channel": "C0"}, "one of the two"),
        (SlackReceiver, {"token": "x"}, "token and channel belong together"),
        (PagerDutyReceiver, {"routing_key": " "}, "routing_key is empty"),
        (MailReceiver, {"host": "m", "sender": "a@b.c", "to": ["x\r\nBcc: y@z.example"]}, "to.0"),
        (MailReceiver, {"host": "m", "sender": "a@b.c", "to": ["d@e.f"], "user": "u"}, "wanted password or"),
        (
            MailReceiver,
            {"host": "m", "sender": "a@b.c", "to": ["d@e.f"], "user": "u", "password": "p", "security": "none"},
            "in the clear",
        ),
    ],
)
def test_a_receiver_that_cannot_work_is_refused(
    kind: type[WebhookReceiver], given: dict[str, object], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        kind.model_validate(given)


def test_a_secret_s_file_that_cannot_be_read_is_named_at_the_start_and_one_name_is_one_receiver(
    tmp_path: Path,
) -> None:
    missing = telling(pagerduty={"ops": {"routing_key_file": str(tmp_path / "none")}})
    with pytest.raises(InvalidSetting, match=r"notify.pagerduty.ops.routing_key_file = .*No such file"):
        receivers_of(missing)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InvalidSetting, match="it is empty"):
        receivers_of(telling(pagerduty={"ops": {"routing_key_file": str(tmp_path / "empty")}}))
    with pytest.raises(ValidationError, match="two receivers are named 'ops'"):
        telling(pagerduty={"ops": {"routing_key": "x"}}, slack={"ops": {"url": "https://a.example"}})
