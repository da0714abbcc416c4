"""Notices as signed posts, for a program of one's own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from monitor.domain.telling import EVENT_HEADER, ID_HEADER, SIGNATURE_HEADER, sign
from monitor.notify.http import Secret, judged, post
from monitor.notify.notice import Failed, Notice, Taken


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Posts notices, signed as announcements of promotions are; the bytes of one are the same at each attempt."""

    url: Secret
    secret: Secret
    timeout_seconds: float
    ca: Path | None = None
    clock: Callable[[], float] = time.time

    def deliver(self, notice: Notice, _handle: str | None) -> Taken | Failed:
        body = body_of(notice)
        headers = {
            "Content-Type": "application/json",
            EVENT_HEADER: f"incident.{notice.event}",
            ID_HEADER: notice.idempotency_key,
            "Idempotency-Key": notice.idempotency_key,
            SIGNATURE_HEADER: sign(self.secret(), body, at=int(self.clock())),
        }
        secrets = [self.url, self.secret]
        answer = post(self.url, body, headers, timeout_seconds=self.timeout_seconds, ca=self.ca, secrets=[self.secret])
        return judged(answer, secrets)


def body_of(notice: Notice) -> bytes:
    told = {
        "id": notice.idempotency_key,
        "event": f"incident.{notice.event}",
        "key": notice.key,
        "sequence": notice.sequence,
        "at": notice.at.astimezone(UTC).isoformat(),
        "severity": notice.told.severity,
        "state": notice.state,
        "standing": notice.told.standing,
        "incidents": notice.incidents,
        "title": notice.title,
        "lines": notice.lines,
        "link": notice.link,
        "runbook": notice.runbook,
    }
    return json.dumps(told, ensure_ascii=False, sort_keys=True).encode()
