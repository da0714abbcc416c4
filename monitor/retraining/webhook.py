"""Announcements by HTTP: one signed post an attempt."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from monitor.domain.release import Announcement
from monitor.domain.telling import SIGNATURE_HEADER, sign
from monitor.domain.text import visible
from monitor.retraining.announcing import body_of, headers_of

MAX_TOLD = 300  # characters of a refusal that are kept


class Webhook:
    """Posts announcements; may be called from any thread."""

    def __init__(
        self, url: str, *, secret: str, timeout_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._secret = secret
        self._timeout = timeout_seconds
        self._clock = clock

    def deliver(self, announcement: Announcement) -> str | None:
        """Post *announcement*; return None where it was taken with a 2xx, else why not. Redirects are not followed."""
        body = body_of(announcement)
        headers = headers_of(announcement) | {
            SIGNATURE_HEADER: sign(self._secret, body, at=int(self._clock())),
            "Content-Type": "application/json",
        }
        try:
            with (
                httpx.Client(timeout=self._timeout) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                if answer.is_success:
                    return None
                told = next(answer.iter_bytes(MAX_TOLD), b"").decode(errors="replace")
                return f"HTTP {answer.status_code} {visible(told)}".strip()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{type(error).__name__}: {error}"
