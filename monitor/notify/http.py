"""One post to a receiver, within its time, and what its answer means."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from monitor.domain.text import visible
from monitor.notify.notice import Failed, Taken

MAX_ANSWER_BYTES = 65_536
MAX_TOLD = 300  # characters of an answer that are kept
LONGEST_WAIT_SECONDS = 3600.0  # that a receiver may ask for
TOO_MANY = 429
Secret = Callable[[], str]  # read anew for each message, so that a file may be replaced


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    retry_after: float | None

    def json(self) -> Mapping[str, Any]:
        with suppress(ValueError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        return {}


def post(
    url: Secret,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_seconds: float,
    ca: Path | None = None,
    secrets: Sequence[Secret] = (),
) -> Answer | Failed:
    """Post *body*; redirects are not followed, and certificates are verified, by *ca* where one is given.

    Returns `Failed` where nothing answered in time. No text of it holds *url* or one of *secrets*.
    """
    try:
        verify = True if ca is None else ssl.create_default_context(cafile=str(ca))
        deadline = time.monotonic() + timeout_seconds
        with (
            httpx.Client(timeout=timeout_seconds, verify=verify) as client,
            client.stream("POST", url(), content=body, headers=dict(headers)) as answer,
        ):
            return Answer(answer.status_code, beginning(answer, deadline), wait_of(answer.headers.get("Retry-After")))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Failed(without(f"{type(error).__name__}: {error}", [url, *secrets]), again=True)


def beginning(answer: httpx.Response, deadline: float) -> bytes:
    """Return what of *answer* came until *deadline* of the monotonic clock, not endlessly much."""
    read = b""
    for part in answer.iter_bytes():
        read += part
        if len(read) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
            break
    return read[:MAX_ANSWER_BYTES]


def judged(answer: Answer | Failed, secrets: Sequence[Secret]) -> Taken | Failed:
    """Return what *answer* means: 2xx took it; 408, 425, 429 and 5xx may take it later; all else never will."""
    if isinstance(answer, Failed):
        return answer
    told = without(f"HTTP {answer.status} {answer.body[:MAX_TOLD].decode(errors='replace')}".strip(), secrets)
    if 200 <= answer.status < 300:
        return Taken(told)
    again = answer.status >= 500 or answer.status in {408, 425, TOO_MANY}
    return Failed(told, again=again, after_seconds=answer.retry_after if again else None)


def without(text: str, secrets: Sequence[Secret]) -> str:
    """Return *text* in visible characters, without what is secret."""
    for secret in secrets:
        with suppress(OSError, ValueError):
            whole = secret()
            path = urlsplit(whole).path if "://" in whole else ""  # a server's refusal may quote it
            for part in (whole, path.strip("/") and path):
                text = text.replace(part, "<withheld>") if part else text
    return visible(text)


def wait_of(header: str | None) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or as a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS) if seconds == seconds else None  # noqa: PLR0124 - not a NaN
