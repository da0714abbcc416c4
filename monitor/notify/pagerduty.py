"""Notices as events of PagerDuty's Events API v2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from monitor.domain.alarm import Severity
from monitor.notify.http import Secret, judged, post
from monitor.notify.notice import Event, Failed, Notice, Standing, Taken

SEVERITY = {Severity.ALERT: "critical", Severity.WARNING: "warning"}
MAX_SUMMARY_CHARACTERS = 1024  # PagerDuty's own
FORMER_PAGES = 4  # that are resolved with one: some of them may never have come


@dataclass(frozen=True, slots=True)
class PagerDutySender:
    """Triggers, acknowledges and resolves by `dedup_key`, so an event that is sent again changes nothing.

    What is to be heard anew has a key of its own, since a trigger wakes nobody for an incident that is
    acknowledged. The pages before it are resolved.
    """

    url: str
    routing_key: Secret
    timeout_seconds: float
    ca: Path | None = None

    def deliver(self, notice: Notice, _handle: str | None) -> Taken | Failed:
        said: Taken | Failed = Taken("nothing to say")
        for event in events_of(notice):
            body = json.dumps({"routing_key": self.routing_key(), **event}, ensure_ascii=False).encode()
            answer = post(
                lambda: self.url,
                body,
                {"Content-Type": "application/json"},
                timeout_seconds=self.timeout_seconds,
                ca=self.ca,
                secrets=[self.routing_key],
            )
            said = judged(answer, [self.routing_key])
            if isinstance(said, Failed):
                return said
        return said


def events_of(notice: Notice) -> list[dict[str, Any]]:
    """Return what is sent, in order: whoever reads half of it is woken rather than left asleep."""
    page = notice.told.page
    former = [_plain("resolve", notice, number) for number in range(max(1, page - FORMER_PAGES), page)]
    if notice.event is Event.TEST:
        return [_trigger(notice), _plain("resolve", notice, page)]
    if notice.told.standing is Standing.OVER:
        return [_plain("resolve", notice, page), *former]
    if notice.told.standing is Standing.QUIET:
        return [_plain("acknowledge", notice, page), *former]  # whose trigger may never have come
    return [_trigger(notice), *(former if notice.event is Event.RAISED else [])]


def dedup_key(notice: Notice, page: int) -> str:
    return f"{notice.key}-p{page}"


def _plain(action: str, notice: Notice, page: int) -> dict[str, Any]:
    return {"event_action": action, "dedup_key": dedup_key(notice, page)}


def _trigger(notice: Notice) -> dict[str, Any]:
    links = [] if notice.link is None else [{"href": notice.link, "text": "console"}]
    payload = {
        "summary": notice.title[:MAX_SUMMARY_CHARACTERS],
        "source": "rlhf-monitor",
        "severity": "info" if notice.event is Event.TEST else SEVERITY[notice.told.severity],
        "timestamp": notice.at.astimezone(UTC).isoformat(),
        "component": notice.subject,
        "class": f"incident.{notice.event}",
        "custom_details": {"said": "\n".join(notice.lines), "runbook": notice.runbook},
    }
    return _plain("trigger", notice, notice.told.page) | {"client": "rlhf-monitor", "payload": payload, "links": links}
