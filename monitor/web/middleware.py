"""Headers on every answer, and a bound on every request body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.problem import answer

MAX_BODY_BYTES = 16_384
GZIP_BYTES = 1000  # of an answer; a shorter one fits into one packet as it is
LONG_BODIES: Mapping[str, int] = {
    "/api/v1/labels": 1_048_576,
    "/api/v1/review/criteria": 262_144,  # as many characters as there may be, each escaped
    "/api/v1/review/import": 1_048_576,
}  # bytes, of those who are known
_PRIVATE = ("/api/", "/login")  # what no browser and no proxy may keep on a disk
_SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith(_PRIVATE) else "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class BodyLimit:
    """Refuse bodies that are long, or that do not say how long they are, before anything reads them.

    Where batches are sent, a body may be longer, once *admit* has raised nothing for whoever sends it.
    """

    def __init__(self, app: ASGIApp, admit: Callable[[Request], Awaitable[object]]) -> None:
        self._app = app
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self._refuse_body(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    async def _refuse_body(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers:
            return answer(411, "the request does not say how long its body is: send the header Content-Length")
        most = LONG_BODIES.get(scope["path"], MAX_BODY_BYTES)
        given = headers.get("content-length", "0")
        if not given.isdecimal() or len(given) > len(str(most)) or int(given) > most:
            return answer(413, f"Content-Length is {given[:20]!r}: a body has {most} bytes at most here")
        if int(given) > MAX_BODY_BYTES:
            try:
                await self._admit(Request(scope))
            except HTTPException as refused:
                return answer(refused.status_code, refused.detail, dict(refused.headers or {}))
        return None


class HeadAsGet:
    """Answer HEAD as GET without the body: what watches a service often asks with HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = False

        async def send_without_body(message: Message) -> None:
            nonlocal sent
            if message["type"] != "http.response.body":
                await send(message)
            elif not sent:  # what comes in pieces, or never ends, is over with the first
                sent = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app(dict(scope, method="GET"), receive, send_without_body)
        else:
            await self._app(scope, receive, send)


class ContentTags:
    """Tag what GET answers by its content, and answer 304 to whoever has that content already.

    The route has run by then, so whoever may not ask is refused as ever; what is saved is the way to the client.
    An answer that comes in pieces, or has a tag, passes as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = Headers(scope=scope).get("if-none-match", "") if scope["type"] == "http" else ""
        head: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            if head is not None:
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    _tag(head, message, known)
                await send(head)
                head = None
            await send(message)

        tagged = scope["type"] == "http" and scope["method"] == "GET"
        await self._app(scope, receive, send_tagged if tagged else send)


def _tag(head: Message, message: Message, known: str) -> None:
    """Tag a whole answer, and empty it where its tag is among those *known*."""
    headers = MutableHeaders(scope=head)
    if head["status"] != HTTPStatus.OK or "etag" in headers:
        return
    tag = f'"{blake2b(message.get("body", b""), digest_size=12).hexdigest()}"'
    headers["ETag"] = f"W/{tag}"  # weak: the content is the same whether or not it is sent as gzip
    if tag in {given.strip().removeprefix("W/") for given in known.split(",")}:
        del headers["Content-Length"], headers["Content-Type"]
        head["status"], message["body"] = HTTPStatus.NOT_MODIFIED, b""
