"""Notices in Slack: by an incoming webhook, or as one message that a bot edits while its incident goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from monitor.domain.text import for_slack
from monitor.notify.http import Answer, Secret, judged, post
from monitor.notify.notice import Event, Failed, Notice, Taken

MAX_TITLE_CHARACTERS = 250  # each may become ten
MAX_SECTION_CHARACTERS = 2900  # Slack takes 3,000
PASSING = {
    "internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited",
    "team_added_to_org",
}  # fmt: skip
GONE = {"message_not_found", "cant_update_message", "edit_window_closed"}
API = "https://slack.com/api"
JSON, FORM = "application/json; charset=utf-8", "application/x-www-form-urlencoded"  # reading methods take forms
CLOCK_SECONDS = 300.0  # by which Slack's clock may differ from ours
MOST_LOOKED_AT = 999  # messages since the notice; Slack gives no more at once


@dataclass(frozen=True, slots=True)
class SlackWebhookSender:
    """Posts a message for each notice: what an incoming webhook has posted cannot be edited."""

    url: Secret
    timeout_seconds: float
    ca: Path | None = None

    def deliver(self, notice: Notice, _handle: str | None) -> Taken | Failed:
        body = json.dumps(message_of(notice), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = post(self.url, body, headers, timeout_seconds=self.timeout_seconds, ca=self.ca)
        return judged(answer, [self.url])


@dataclass(frozen=True, slots=True)
class SlackBotSender:
    """Posts one message a subject, and edits it. What is to be heard anew, and its end, is said in its thread too.

    Slack knows no key by which a message that is sent twice is one. So each has one in its metadata, and `find` looks
    whether an attempt before has posted it.
    """

    token: Secret
    channel: str
    timeout_seconds: float
    api: str = API
    ca: Path | None = None

    def deliver(self, notice: Notice, handle: str | None) -> Taken | Failed:
        channel, _, ts = (handle or "").partition("/")
        if not ts:
            return self._first(notice)
        edited = self._call("chat.update", message_of(notice) | {"channel": channel, "ts": ts})
        if isinstance(edited, Failed):
            return self._first(notice) if edited.error in GONE else edited
        if notice.event not in {Event.RAISED, Event.REMINDED, Event.RESOLVED}:
            return Taken("edited")
        loud = notice.event is not Event.RESOLVED
        reply = {"channel": channel, "thread_ts": ts, "reply_broadcast": loud, "text": for_slack(notice.title)}
        said = self._call("chat.postMessage", reply | _QUIET_LINKS | _named(notice))
        return said if isinstance(said, Failed) else Taken("edited, and said in its thread")

    def _first(self, notice: Notice) -> Taken | Failed:
        answer = self._call("chat.postMessage", message_of(notice) | {"channel": self.channel} | _named(notice))
        if isinstance(answer, Failed):
            return answer
        return Taken(f"posted in {answer['channel']}", handle=f"{answer['channel']}/{answer['ts']}")

    def find(self, notice: Notice, handle: str | None) -> Taken | None:
        """Return the message that an attempt before has posted; None where there is none, or Slack does not show it.

        Reading wants the scope channels:history, or groups:history of a private channel.
        """
        channel, _, thread = (handle or f"{self.channel}/").partition("/")
        asked = {
            "channel": channel,
            "oldest": f"{notice.at.timestamp() - CLOCK_SECONDS:.6f}",
            "limit": str(MOST_LOOKED_AT),
            "include_all_metadata": "true",
        }
        method = "conversations.replies" if thread else "conversations.history"
        answer = self._send(method, urlencode(asked | ({"ts": thread} if thread else {})).encode(), FORM)
        if isinstance(answer, Failed):
            return None
        for message in answer.json().get("messages") or ():
            named = (message.get("metadata") or {}).get("event_payload") or {}
            if named.get("key") == notice.idempotency_key:
                known = None if thread else f"{channel}/{message['ts']}"
                return Taken("posted by an attempt before", handle=known)
        return None

    def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any] | Failed:
        answer = self._send(method, json.dumps(arguments, ensure_ascii=False).encode(), JSON)
        if isinstance(answer, Failed):
            return answer
        told = answer.json()
        if told.get("ok") is True and {"channel", "ts"} <= told.keys():
            return dict(told)
        error = str(told.get("error", "no JSON of Slack's"))
        return Failed(error, again=error in PASSING or "error" not in told, after_seconds=answer.retry_after)

    def _send(self, method: str, body: bytes, media_type: str) -> Answer | Failed:
        """Return what Slack says to *method*, be it yes or no."""
        answer = post(
            lambda: f"{self.api.rstrip('/')}/{method}",
            body,
            {"Content-Type": media_type, "Authorization": f"Bearer {self.token()}"},
            timeout_seconds=self.timeout_seconds,
            ca=self.ca,
            secrets=[self.token],
        )
        said = judged(answer, [self.token])
        if isinstance(said, Failed):
            return said
        assert isinstance(answer, Answer)
        return answer


def _named(notice: Notice) -> dict[str, Any]:
    return {"metadata": {"event_type": "rlhf_monitor_notice", "event_payload": {"key": notice.idempotency_key}}}


def message_of(notice: Notice) -> dict[str, Any]:
    """Return text and blocks; `verbatim` keeps Slack from making links and mentions of what came from outside."""
    title = for_slack(notice.title[:MAX_TITLE_CHARACTERS])
    said = f"*{title}*" if notice.link is None else f"*<{notice.link}|{title}>*"
    for line in map(for_slack, notice.lines):
        if len(said) + len(line) < MAX_SECTION_CHARACTERS:  # never cut within an escape
            said += f"\n{line}"
    text = {"type": "mrkdwn", "text": said, "verbatim": True}
    runbook = {"type": "mrkdwn", "text": f"runbook: {for_slack(notice.runbook)}", "verbatim": True}
    blocks = [{"type": "section", "text": text}, {"type": "context", "elements": [runbook]}]
    return {"text": title, "blocks": blocks} | _QUIET_LINKS


_QUIET_LINKS = {"unfurl_links": False, "unfurl_media": False}
