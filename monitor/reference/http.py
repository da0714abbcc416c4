"""The released policy behind an OpenAI-compatible server, asked by `POST /v1/chat/completions`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from monitor.domain.reference import AnswerOutcome, ReferenceAnswer
from monitor.domain.trace import Message
from monitor.signals.outcome import CUT_OFF

MAX_ANSWER_BYTES = 8_388_608
LONGEST_RETRY_SECONDS = 3600.0
_LATER = frozenset({425, 429, 503})  # the server says itself that it has not begun
_TOO_LATE = frozenset({408, 504})


@dataclass(frozen=True, slots=True)
class ReferenceEndpoint:
    url: str  # with or without /v1
    model: str | None  # None where it serves but one
    temperature: float | None
    max_tokens: int | None
    timeout_seconds: float  # for one request, from its start to the answer's last byte
    concurrency: int
    api_key: str | None = None
    setting: str = "drift.reference.model"  # that names the model where it serves several

    @property
    def root(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith("/v1") else f"{base}/v1"


class _Card(msgspec.Struct, frozen=True):
    id: str


class _Cards(msgspec.Struct, frozen=True):
    data: list[_Card]


class _Said(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Said
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    usage: _Usage | None = None


class HttpReference:
    """Asks one prompt a call, from any thread; every trouble is an outcome, nothing is raised."""

    def __init__(self, endpoint: ReferenceEndpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._model = endpoint.model
        self._client = httpx.Client(
            timeout=endpoint.timeout_seconds,
            headers={"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {},
            limits=httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency),
        )

    @property
    def model(self) -> str | None:
        """What it is asked for by; None before the first answer where the server is to name it."""
        return self._model

    def close(self) -> None:
        self._client.close()

    def ask(self, messages: Sequence[Message]) -> ReferenceAnswer:
        """Return the policy's answer to *messages*, or what became of the request."""
        if self._model is None:
            found = self._discover()
            if isinstance(found, ReferenceAnswer):
                return found
            self._model = found
        asked: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
        }
        for name in ("temperature", "max_tokens"):
            if getattr(self._endpoint, name) is not None:
                asked[name] = getattr(self._endpoint, name)
        answered = self._send("POST", "chat/completions", json.dumps(asked).encode())
        return answered if isinstance(answered, ReferenceAnswer) else _read(answered)

    def _discover(self) -> str | ReferenceAnswer:
        listed = self._send("GET", "models", None)
        if isinstance(listed, ReferenceAnswer):
            return replace(listed, outcome=AnswerOutcome.UNAVAILABLE)
        try:
            names = [card.id for card in msgspec.json.decode(listed, type=_Cards).data]
        except msgspec.MsgspecError:
            names = []
        if len(names) == 1:
            return names[0]
        wanted = f"it serves {len(names)} models: name one in {self._endpoint.setting}"
        return ReferenceAnswer(AnswerOutcome.UNAVAILABLE, detail=wanted)

    def _send(self, method: str, path: str, content: bytes | None) -> bytes | ReferenceAnswer:
        """Return the body of a good answer; one that does not end in time, or never ends, is given up."""
        until = self._clock() + self._endpoint.timeout_seconds
        url, headers = f"{self._endpoint.root}/{path}", {"Content-Type": "application/json"}
        try:
            with self._client.stream(method, url, content=content, headers=headers) as response:
                return self._body(response, until) if response.status_code == 200 else _refused(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return ReferenceAnswer(AnswerOutcome.UNAVAILABLE, detail=type(error).__name__)
        except httpx.TimeoutException as error:
            return ReferenceAnswer(AnswerOutcome.TIMED_OUT, detail=type(error).__name__)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return ReferenceAnswer(AnswerOutcome.FAILED, detail=type(error).__name__)

    def _body(self, response: httpx.Response, until: float) -> bytes | ReferenceAnswer:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if self._clock() > until:
                return ReferenceAnswer(AnswerOutcome.TIMED_OUT, detail="the answer did not end in time")
            if len(body) > MAX_ANSWER_BYTES:
                return ReferenceAnswer(AnswerOutcome.GARBLED, detail="the answer does not end")
        return bytes(body)


def _refused(response: httpx.Response) -> ReferenceAnswer:
    status, detail = response.status_code, f"HTTP {response.status_code}"
    if status in _LATER:
        wait = _seconds(response.headers.get("Retry-After"))
        return ReferenceAnswer(AnswerOutcome.UNAVAILABLE, retry_after_seconds=wait, detail=detail)
    if status in _TOO_LATE:
        return ReferenceAnswer(AnswerOutcome.TIMED_OUT, detail=detail)
    if status in {400, 413, 422}:
        return ReferenceAnswer(AnswerOutcome.REJECTED, detail=detail)
    if status < 500:  # a key, a model or a path is wrong, or it asks to go elsewhere: no prompt is at fault
        return ReferenceAnswer(AnswerOutcome.UNAVAILABLE, detail=detail)
    return ReferenceAnswer(AnswerOutcome.FAILED, detail=detail)


def _seconds(retry_after: str | None) -> float | None:
    """Read Retry-After, which is seconds or a date; None where it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_SECONDS) if seconds == seconds else None  # noqa: PLR0124 - not a number


def _read(body: bytes) -> ReferenceAnswer:
    try:
        completion = msgspec.json.decode(body, type=_Completion)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ReferenceAnswer(AnswerOutcome.GARBLED, detail="this is no chat completion")
    usage = completion.usage or _Usage()
    tokens, total = usage.completion_tokens, usage.total_tokens
    if len(completion.choices) != 1 or completion.choices[0].message.content is None:
        return ReferenceAnswer(AnswerOutcome.GARBLED, total_tokens=total, detail="not one choice with a text")
    choice = completion.choices[0]
    cut = (choice.finish_reason or "").lower() in CUT_OFF
    return ReferenceAnswer(
        AnswerOutcome.CUT if cut else AnswerOutcome.ANSWERED,
        text=choice.message.content,
        finish_reason=choice.finish_reason,
        output_tokens=tokens if tokens is None or tokens >= 0 else None,
        total_tokens=total if total is None or total >= 0 else None,
    )
