"""Notices on real connections: what is posted and mailed, and what each answer means."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path

import pytest

from monitor.domain.alarm import Severity
from monitor.domain.telling import EVENT_HEADER, SIGNATURE_HEADER, verify
from monitor.notify.notice import Event, Failed, Standing, Taken, Told
from monitor.notify.pagerduty import PagerDutySender
from monitor.notify.slack import SlackBotSender, SlackWebhookSender
from monitor.notify.smtp import MailSender
from monitor.notify.webhook import WebhookSender
from tests.certificates import Authority
from tests.hostile import LABELS
from tests.notified import NOW, MailServer, Posted, ReceiverServer, Reply, as_slack, notice
from tests.ports import free_port

SECRET = "between the two alone"
OVER = notice(event=Event.RESOLVED, sequence=3, told=Told(Standing.OVER, Severity.ALERT, "2", 1))


def given(secret: str) -> Callable[[], str]:
    return lambda: secret


def webhook(url: str, *, timeout: float = 5.0, ca: Path | None = None) -> WebhookSender:
    return WebhookSender(given(url), given(SECRET), timeout, ca)


def server_tls(authority: Authority, host: str = "127.0.0.1") -> ssl.SSLContext:
    certificate = authority.issue("server", host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)
    return context


def test_a_webhook_is_signed_and_carries_one_key_and_the_same_bytes_at_each_attempt() -> None:
    with ReceiverServer() as server:
        for _ in range(2):
            assert isinstance(webhook(f"{server.url}/hook").deliver(notice(), None), Taken)
    once, again = server.posted
    assert once.body == again.body
    assert once.headers["Idempotency-Key"] == again.headers["Idempotency-Key"] == "rlhf-monitor-incident-12-abc-1"
    assert once.headers[EVENT_HEADER] == "incident.opened"
    verify(SECRET, once.body, once.headers[SIGNATURE_HEADER], now=time.time())
    assert (once.json["severity"], once.json["incidents"], once.json["sequence"]) == ("alert", [12], 1)


@pytest.mark.parametrize(
    ("status", "headers", "again", "after"),
    [
        (500, {}, True, None),
        (503, {"Retry-After": "120"}, True, 120.0),
        (429, {"Retry-After": "7"}, True, 7.0),
        (429, {"Retry-After": "999999"}, True, 3600.0),
        (429, {"Retry-After": "nan"}, True, None),
        (429, {"Retry-After": "soon"}, True, None),
        (400, {"Retry-After": "7"}, False, None),
        (404, {}, False, None),
        (302, {"Location": "/elsewhere"}, False, None),
    ],
)
def test_which_answers_are_asked_again(status: int, headers: dict[str, str], again: bool, after: float | None) -> None:
    with ReceiverServer(lambda _: Reply(status, b"not \x1b[2J today", headers)) as server:
        said = webhook(server.url).deliver(notice(), None)
    assert said == Failed(rf"HTTP {status} not \x1b[2J today", again=again, after_seconds=after)
    assert len(server.posted) == 1, "no redirect is followed"


def test_a_time_to_come_back_may_be_a_date() -> None:
    with ReceiverServer(lambda _: Reply(503, b"", {"Retry-After": format_datetime(NOW.replace(year=2001))})) as server:
        said = webhook(server.url).deliver(notice(), None)
    assert isinstance(said, Failed)
    assert said.after_seconds == 0.0


def test_who_is_away_or_too_slow_is_asked_again_and_no_secret_is_told() -> None:
    hidden = "T0/B0/very-secret"
    said = SlackWebhookSender(given(f"http://127.0.0.1:{free_port()}/{hidden}"), 1.0).deliver(notice(), None)
    assert isinstance(said, Failed)
    assert (said.again, hidden in said.error) == (True, False)
    broken = SlackWebhookSender(given(f"no-scheme/{hidden}"), 1.0).deliver(notice(), None)
    assert isinstance(broken, Failed)
    assert hidden not in broken.error
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes a connection and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{hidden}"
        slow = SlackWebhookSender(given(url), 0.2).deliver(notice(), None)
    assert isinstance(slow, Failed)
    assert (slow.again, slow.error.startswith("ReadTimeout"), hidden in slow.error) == (True, True, False)
    with ReceiverServer(lambda posted: Reply(404, f"no {posted.path}".encode())) as server:
        echoed = SlackWebhookSender(given(f"{server.url}/{hidden}"), 5.0).deliver(notice(), None)
    assert isinstance(echoed, Failed)
    assert echoed.error == "HTTP 404 no <withheld>"


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    with ReceiverServer(tls=server_tls(ours)) as server:
        assert isinstance(webhook(server.url, ca=ours.cafile).deliver(notice(), None), Taken)
        for ca in (other.cafile, None):
            said = webhook(server.url, ca=ca).deliver(notice(), None)
            assert isinstance(said, Failed)
            assert "CERTIFICATE_VERIFY_FAILED" in said.error
    assert len(server.posted) == 1


def test_slack_s_bot_edits_one_message_and_says_aloud_what_is_to_be_heard_again() -> None:
    with ReceiverServer(as_slack) as server:
        bot = SlackBotSender(given("xoxb-secret"), "C0123456789", 5.0, server.url)
        first = bot.deliver(notice(), None)
        assert first == Taken("posted in C0123456789", "C0123456789/1763780400.000100")
        assert isinstance(first, Taken)
        assert bot.deliver(notice(event=Event.CHANGED, sequence=2), first.handle) == Taken("edited")
        bot.deliver(notice(event=Event.RAISED, sequence=3), first.handle)
        bot.deliver(OVER, first.handle)
    calls = [(posted.path, posted.json.get("ts"), posted.json.get("reply_broadcast")) for posted in server.posted]
    ts = "1763780400.000100"
    assert calls == [
        ("/chat.postMessage", None, None),
        ("/chat.update", ts, None),
        ("/chat.update", ts, None),
        ("/chat.postMessage", None, True),
        ("/chat.update", ts, None),
        ("/chat.postMessage", None, False),
    ]
    assert {posted.headers["Authorization"] for posted in server.posted} == {"Bearer xoxb-secret"}


@pytest.mark.parametrize(
    ("error", "again"), [("ratelimited", True), ("internal_error", True), ("channel_not_found", False)]
)
def test_slack_says_no_with_a_status_of_200(error: str, again: bool) -> None:
    with ReceiverServer(lambda _: Reply(body=json.dumps({"ok": False, "error": error}).encode())) as server:
        said = SlackBotSender(given("xoxb"), "C0", 5.0, server.url).deliver(notice(), None)
    assert said == Failed(error, again=again)


def test_a_message_that_is_gone_from_slack_is_posted_anew() -> None:
    def gone(posted: Posted) -> Reply:
        missing = Reply(body=b'{"ok": false, "error": "message_not_found"}')
        return missing if "update" in posted.path else as_slack(posted)

    with ReceiverServer(gone) as server:
        said = SlackBotSender(given("xoxb"), "C0", 5.0, server.url).deliver(notice(sequence=2), "C0/1.2")
    assert isinstance(said, Taken)
    assert said.handle == "C0123456789/1763780400.000100"


@pytest.mark.parametrize("label", ["<!channel> & <http://evil.example|x>", *LABELS.values()])
def test_a_hostile_label_is_no_mention_and_no_link_in_slack(label: str) -> None:
    with ReceiverServer() as server:
        SlackWebhookSender(given(server.url), 5.0).deliver(notice(title=label, lines=(label,) * 50), None)
    (posted,) = server.posted
    section = posted.json["blocks"][0]["text"]
    first, _, rest = section["text"].partition("\n")
    assert first.startswith("*<https://monitor.example/incidents/12|")
    assert first.count("<") == 1
    assert not {"<", ">"} & set(rest + posted.json["text"])
    assert (section["verbatim"], len(section["text"]) <= 3000) == (True, True)


def test_pagerduty_takes_events_with_its_key_and_a_refusal_does_not_tell_it() -> None:
    with ReceiverServer(lambda _: Reply(202, b'{"status": "success"}')) as server:
        pager = PagerDutySender(f"{server.url}/v2/enqueue", given("R0UT1NG"), 5.0)
        assert isinstance(pager.deliver(notice(), None), Taken)
        assert isinstance(pager.deliver(OVER, None), Taken)
        server.answer = lambda posted: Reply(400, b"invalid " + posted.body)
        refused = pager.deliver(notice(), None)
    trigger, resolve = server.posted[0].json, server.posted[1].json
    assert (trigger["event_action"], trigger["payload"]["severity"]) == ("trigger", "critical")
    assert trigger["links"] == [{"href": "https://monitor.example/incidents/12", "text": "console"}]
    assert "128 -> 195 tokens" in trigger["payload"]["custom_details"]["said"]
    assert resolve == {"routing_key": "R0UT1NG", "event_action": "resolve", "dedup_key": trigger["dedup_key"]}
    assert isinstance(refused, Failed)
    assert (refused.again, "R0UT1NG" in refused.error) == (False, False)


def mailer(port: int, **changes: object) -> MailSender:
    usual = MailSender("127.0.0.1", port, "none", "monitor@example.org", ("ana@example.org",), 5.0)
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_mails_on_an_incident_are_one_thread_and_one_sent_twice_has_one_id() -> None:
    with MailServer() as server:
        for told in (notice(), notice(), OVER):
            assert isinstance(mailer(server.port).deliver(told, None), Taken)
    first, twice, last = server.taken
    assert first["Message-ID"] == twice["Message-ID"] == "<rlhf-monitor-incident-12-abc-1@example.org>"
    assert {mail["References"] for mail in server.taken} == {"<rlhf-monitor-incident-12-abc@example.org>"}
    assert (first["In-Reply-To"], last["In-Reply-To"]) == (None, "<rlhf-monitor-incident-12-abc@example.org>")
    assert first["Auto-Submitted"] == "auto-generated"
    assert "128 -> 195 tokens" in first.get_content()
    assert "console: https://monitor.example/incidents/12" in first.get_content()


def test_a_hostile_label_adds_no_header_and_no_recipient() -> None:
    labels = ["x\r\nBcc: eve@example.org\r\n\r\nbody", *LABELS.values()]
    with MailServer() as server:
        for label in labels:
            assert isinstance(mailer(server.port).deliver(notice(title=label, lines=(label,)), None), Taken), label
    assert len(server.taken) == len(labels)
    for mail in server.taken:
        assert set(mail.keys()) <= {
            "Subject", "From", "To", "Date", "Message-ID", "References", "Auto-Submitted", "Content-Type",
            "MIME-Version", "Content-Transfer-Encoding", "X-Peer", "X-MailFrom", "X-RcptTo",
        }  # fmt: skip
        assert mail["To"] == "ana@example.org"


def test_mail_goes_by_starttls_to_a_server_that_is_verified_and_with_the_password_alone(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    with MailServer(tls=server_tls(ours), password="right") as server:
        safe = mailer(server.port, security="starttls", user="monitor", password=given("right"), ca=ours.cafile)
        assert isinstance(safe.deliver(notice(), None), Taken)
        wrong = replace(safe, password=given("wrong")).deliver(notice(), None)
        unknown = replace(safe, ca=other.cafile).deliver(notice(), None)
    assert len(server.taken) == 1
    assert isinstance(wrong, Failed)
    assert (wrong.again, wrong.error[:8]) == (False, "SMTP 535"), wrong
    assert isinstance(unknown, Failed)
    assert (unknown.again, "CERTIFICATE_VERIFY_FAILED" in unknown.error) == (True, True)


def test_mail_may_go_by_tls_from_the_start(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    with MailServer(from_the_start=server_tls(ours)) as server:
        safe = mailer(server.port, security="tls", ca=ours.cafile)
        assert isinstance(safe.deliver(notice(), None), Taken)
        assert isinstance(replace(safe, ca=other.cafile).deliver(notice(), None), Failed)
    assert len(server.taken) == 1


def test_a_server_that_knows_no_starttls_is_sent_nothing() -> None:
    with MailServer() as server:
        said = mailer(server.port, security="starttls").deliver(notice(), None)
    assert isinstance(said, Failed)
    assert (said.again, server.taken) == (False, [])


@pytest.mark.parametrize(("refusal", "again"), [("451 later", True), ("554 \x1b[2J never", False)])
def test_a_mail_server_says_itself_whether_to_come_back(refusal: str, again: bool) -> None:
    with MailServer() as server:
        server.refuse = refusal
        said = mailer(server.port).deliver(notice(), None)
    assert isinstance(said, Failed)
    assert said.again is again
    assert "\x1b" not in said.error
