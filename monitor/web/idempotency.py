"""Changes that are sent twice and made once: the first answer is kept under the key its sender gave it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.domain.kept_answer import Claim, KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor
from monitor.errors import Unavailable
from monitor.web.problem import answer

KEY = "idempotency-key"
MAX_KEY_CHARACTERS = 255
SECRET_ANSWERS = frozenset({"/api/v1/tokens"})  # what they hold is kept nowhere
NOTHING_DONE = frozenset({401, 403, 429, 503})
KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of this change alone, say a UUID. Sent again with the same body within 24 hours, the first answer"
    " comes back, and nothing is done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
    "example": "3f1c7a52-0d0e-4c53-9f1f-0f1f6f2b9f10",
}
_OTHER = "this Idempotency-Key came with another request before: take a new key for each change"
_UNANSWERED = (
    "a request with this Idempotency-Key goes on, or its process ended before it changed anything: send it again with"
    " this key, and after a minute it is made anew"
)
_MADE = (
    "this change was made, and its process ended before it answered, or is about to: send it again for the answer, and"
    " if this stays, look at what was changed"
)
_TOLD_ONCE = "this was done, and its answer held a secret that is kept nowhere: revoke what it made, make another"


class Keys(Protocol):
    """Safe from many threads and processes; each may raise `Unavailable`."""

    def claim(self, actor: Actor, sent: Sent) -> Claim | KeyUse | KeptAnswer:
        """Take the key for a first request, or from one that has long made nothing; else say what became of that."""
        ...

    def making(self, claim: Claim) -> AbstractContextManager[None]:
        """Note what is changed within with the key, at once with the change; who has lost the key changes nothing."""
        ...

    def keep(self, claim: Claim, given: KeptAnswer) -> None:
        """Keep the answer, unless the key was lost."""
        ...

    def release(self, claim: Claim) -> None:
        """Let the key be used again, unless something was made under it."""
        ...


class Idempotency:
    """Answer a POST whose key was used before as it was answered then.

    The key is taken, the change is made and noted in one transaction, and then its answer is kept. Where the process
    dies before the change, a later request takes the key over; where it dies after, whoever asks again is told so.
    """

    def __init__(self, app: ASGIApp, admit: Callable[[Request], Awaitable[Actor]]) -> None:
        self._app = app
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(KEY) if _is_change(scope) else None
        if key is None:
            await self._app(scope, receive, send)
            return
        if not (0 < len(key) <= MAX_KEY_CHARACTERS and all("!" <= letter <= "~" for letter in key)):
            wanted = f"1 to {MAX_KEY_CHARACTERS} visible ASCII characters, none of them a space"
            await answer(422, f"header.Idempotency-Key: wanted {wanted}")(scope, receive, send)
            return
        try:
            actor = await self._admit(Request(scope))
            body = await Request(scope, receive).body()
        except (HTTPException, Unavailable):
            await self._app(scope, receive, send)  # which refuses in its own words
            return
        except ClientDisconnect:
            return
        sent = Sent(key, sha256(b"\0".join((_target(scope), body))).digest())
        await self._answer(actor, sent)(scope, _again(body, receive), send)

    def _answer(self, actor: Actor, sent: Sent) -> ASGIApp:
        async def answering(scope: Scope, receive: Receive, send: Send) -> None:
            keys: Keys = scope["app"].state.keys
            try:
                found = await run_in_threadpool(keys.claim, actor, sent)
            except Unavailable as error:
                await answer(503, error.plain, {"Retry-After": "5"})(scope, receive, send)
                return
            if not isinstance(found, Claim):
                await _replay(found)(scope, receive, send)
                return
            told = _Told(send)
            with keys.making(found):
                await self._app(scope, receive, told.listen)  # where this raises, the key is lost to a later request
            await run_in_threadpool(_settle, keys, found, told.answer(scope["path"]))

        return answering


class _Told:
    """What the application answers, on its way to the client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status, self._media_type, self._body = 500, "", b""

    async def listen(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._media_type = Headers(raw=message["headers"]).get("content-type", "")
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
        await self._send(message)

    def answer(self, path: str) -> KeptAnswer:
        if path in SECRET_ANSWERS and self._status < 400:
            refusal = answer(409, _TOLD_ONCE)
            return KeptAnswer(409, refusal.headers["content-type"], bytes(refusal.body))
        return KeptAnswer(self._status, self._media_type, self._body)


def _settle(keys: Keys, claim: Claim, given: KeptAnswer) -> None:
    """Keep the answer, or free the key; the client has its answer, so a database that is away changes nothing."""
    try:
        if given.status in NOTHING_DONE:
            keys.release(claim)
        else:
            keys.keep(claim, given)
    except Unavailable:
        return  # a change that is made has noted that itself


def _replay(found: KeyUse | KeptAnswer) -> Response:
    if isinstance(found, KeptAnswer):
        headers = {"Idempotency-Replayed": "true"} | ({"Content-Type": found.media_type} if found.media_type else {})
        return Response(found.body, found.status, headers)
    if found is KeyUse.OTHER:
        return answer(422, _OTHER)
    return answer(409, _MADE if found is KeyUse.MADE else _UNANSWERED, {"Retry-After": "1"})


def _is_change(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith("/api/v1/"))


def _target(scope: Scope) -> bytes:
    path: str = scope["path"]
    query: bytes = scope["query_string"]
    return path.encode("utf-8", "surrogatepass") + b"?" + query


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a receiver that gives *body*, which was read, as if it came now."""
    given = False

    async def give() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
