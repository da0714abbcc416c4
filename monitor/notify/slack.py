"""Notices in Slack: by an incoming webhook, or as one message that a bot edits while its incident goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """Posts one message a subject, and edits it. What is to be heard anew, and its end, is said in its thread too."""

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
        said = self._call("chat.postMessage", reply | _QUIET_LINKS)
        return said if isinstance(said, Failed) else Taken("edited, and said in its thread")

    def _first(self, notice: Notice) -> Taken | Failed:
        answer = self._call("chat.postMessage", message_of(notice) | {"channel": self.channel})
        if isinstance(answer, Failed):
            return answer
        return Taken(f"posted in {answer['channel']}", handle=f"{answer['channel']}/{answer['ts']}")

    def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any] | Failed:
        answer = post(
            lambda: f"{self.api.rstrip('/')}/{method}",
            json.dumps(arguments, ensure_ascii=False).encode(),
            {"Content-Type": "application/json; charset=utf-8", "Authorization": f"Bearer {self.token()}"},
            timeout_seconds=self.timeout_seconds,
            ca=self.ca,
            secrets=[self.token],
        )
        said = judged(answer, [self.token])
        if isinstance(said, Failed) or not isinstance(answer, Answer):
            return said if isinstance(said, Failed) else Failed("no answer", again=True)
        told = answer.json()
        if told.get("ok") is True and {"channel", "ts"} <= told.keys():
            return dict(told)
        error = str(told.get("error", "no JSON of Slack's"))
        return Failed(error, again=error in PASSING or "error" not in told, after_seconds=answer.retry_after)


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
