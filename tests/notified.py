"""Incidents as receivers are told of them, and servers that stand where receivers do."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from monitor.domain.alarm import AlarmKind, AlarmState, Severity
from monitor.domain.incident import Cause, Incident, IncidentFacts, Likelihood, LikelyCause
from monitor.notify.decide import Rules
from monitor.notify.notice import Event, Notice, Standing, Told
from tests.ports import free_port

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
FACTS = IncidentFacts(
    kind=AlarmKind.DRIFT,
    state=AlarmState.OPEN,
    severity=Severity.ALERT,
    opened_at=NOW,
    paged_at=NOW,
    onset_timestamp=NOW - timedelta(hours=1),
    onset_place=100,
    members=2,
    summary="response_length up in *",
    causes=(LikelyCause(Cause.POLICY_MODEL, Likelihood.LIKELY, "assistant-v2 came at 2026-11-22 02:00Z"),),
    acknowledged_by=None,
    snoozed_until=None,
    recovered_at=None,
)
RULES = Rules(Severity.ALERT, timedelta(hours=4), timedelta(minutes=5), frozenset(Event), per_hour=3)


def incident(number: int = 12, **changes: Any) -> Incident:
    return Incident(number, replace(FACTS, **changes), NOW)


def notice(**changes: Any) -> Notice:
    usual = Notice(
        subject="incident-12",
        key="rlhf-monitor-incident-12-abc",
        sequence=1,
        event=Event.OPENED,
        told=Told(Standing.LOUD, Severity.ALERT, "0123", 1),
        state="open",
        title="[ALERT] incident 12: response_length up in *",
        lines=("since 2026-11-22 02:00 UTC: 128 -> 195 tokens (+52%, 95% +40..+64%) under assistant-v2",),
        link="https://monitor.example/incidents/12",
        runbook="dashboards/runbooks/RlhfMonitorDriftAlarm.md",
        at=NOW,
        incidents=(12,),
    )
    return replace(usual, **changes)


@dataclass(frozen=True)
class Posted:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)


class ReceiverServer:
    """A real HTTP server that keeps what was posted, and answers as a test says; with *tls* by HTTPS."""

    def __init__(
        self, answer: Callable[[Posted], Reply] = lambda _: Reply(), tls: ssl.SSLContext | None = None
    ) -> None:
        self.posted: list[Posted] = []
        self.answer = answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ReceiverServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posted = Posted(self.path, dict(self.headers.items()), body)
                server.posted.append(posted)
                reply = server.answer(posted)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def as_slack(posted: Posted) -> Reply:
    """Answer as Slack's methods do where all is well: a message is known by its channel and time."""
    ts = posted.json.get("ts", "1763780400.000100")
    return Reply(body=json.dumps({"ok": True, "channel": "C0123456789", "ts": ts}).encode())


class SlackRoom:
    """Answers as Slack's methods do, and keeps what was posted; *reads*: the bot may read the channel's history."""

    def __init__(self, *, reads: bool) -> None:
        self.messages: list[dict[str, Any]] = []
        self._reads = reads

    def __call__(self, posted: Posted) -> Reply:
        if "/conversations." in posted.path:
            refused = {"ok": False, "error": "missing_scope"}
            return Reply(body=json.dumps({"ok": True, "messages": self.messages} if self._reads else refused).encode())
        if posted.path.endswith("chat.postMessage"):
            self.messages.insert(0, posted.json | {"ts": f"1763780400.{len(self.messages) + 1:06d}"})
        ts = posted.json.get("ts", self.messages[0]["ts"])
        return Reply(body=json.dumps({"ok": True, "channel": "C0123456789", "ts": ts}).encode())


class MailServer:
    """A real SMTP server that keeps what it took; *refuse* is its answer to every message."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        password: str | None = None,
        from_the_start: ssl.SSLContext | None = None,
    ) -> None:
        self.taken: list[EmailMessage] = []
        self.refuse: str | None = None
        self._password = password
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=from_the_start,
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=self._authenticate,
            auth_required=password is not None,
            auth_require_tls=tls is not None,
        )

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        if self.refuse is not None:
            return self.refuse
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        return "250 taken"

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        wanted = (self._password or "").encode()
        return AuthResult(success=data.password == wanted, handled=False)
