"""Who asks: a token, a session of somebody who logged in, or everybody on this machine where neither is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated

import structlog
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from monitor.access.credential import RememberedCredentials, digest_of
from monitor.domain.order import Actor, Role
from monitor.web.throttle import LoginThrottle

LOCAL = Actor("local", Role.OPERATOR)
REQUESTED_WITH = "rlhf-monitor"
WANTED_HEADER = f"send X-Requested-With: {REQUESTED_WITH} with every change"
HASHED = "sha256:"  # before the digest of a token that the settings do not hold itself
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_READS = frozenset({"GET", "HEAD"})
_CHALLENGE = {"WWW-Authenticate": "Bearer"}

log = structlog.get_logger(__name__)
_bearer = HTTPBearer(auto_error=False, description="one of web.tokens, or one that `rlhf-monitor tokens create` made")


@dataclass(frozen=True, slots=True)
class Guard:
    """What the settings say of who may come in."""

    tokens: Mapping[str, str]  # a token, or `sha256:` and its digest -> role
    names: Mapping[str, str]  # of the same tokens -> their holder
    wants_login: bool = False  # even where there are no tokens here
    session_cookie: str | None = None  # its name, where people log in
    metrics_token: str | None = None  # of whoever scrapes; None: /metrics is open to all


class Gatekeeper:
    """Tells who a request comes from, or refuses it.

    Without tokens the server listens on loopback alone, yet any page open in a
    browser on that machine can send requests there. A foreign page can neither
    name a loopback host (its own name stands in Host, rebound or not) nor add
    the header `X-Requested-With` without a preflight, which is never granted.
    A browser sends a session by itself, so its changes want that header too.
    """

    def __init__(
        self, guard: Guard, credentials: RememberedCredentials | None = None, throttle: LoginThrottle | None = None
    ) -> None:
        self._guard = guard
        self._credentials = credentials
        self._throttle = throttle or LoginThrottle()
        self._actors = {_digest(token): _actor(token, Role(role), guard.names) for token, role in guard.tokens.items()}

    @property
    def wants_token(self) -> bool:
        return bool(self._actors) or self._guard.wants_login or self._guard.session_cookie is not None

    def admit(self, request: Request, credentials: HTTPAuthorizationCredentials | None) -> Actor:
        if not self.wants_token:
            _refuse_foreign_pages(request.method, request.headers)
            return LOCAL
        if credentials is not None:
            client = request.client.host if request.client is not None else ""
            return self._holder(client, credentials.credentials.encode("latin-1"))  # the header's bytes again
        if session := self.session_of(request):
            return self._visitor(request, session)
        raise HTTPException(401, "no token was sent: log in, or send one as `Authorization: Bearer TOKEN`", _CHALLENGE)

    def admit_scraper(self, request: Request, credentials: HTTPAuthorizationCredentials | None) -> None:
        """Refuse whoever has neither the token of /metrics, where there is one, nor the right to read the rates."""
        if self._guard.metrics_token is None:
            return
        given = "" if credentials is None else credentials.credentials
        if given and digest_of(given.encode("latin-1")) == _digest(self._guard.metrics_token):
            return
        if not self.wants_token:  # everybody is let in elsewhere, and the settings want this shut
            raise HTTPException(401, "/metrics wants web.metrics_token as `Authorization: Bearer TOKEN`", _CHALLENGE)
        _require(self.admit(request, credentials), Role.VIEWER)

    def session_of(self, request: Request) -> str | None:
        """Return the secret of the session that the browser sent; None without one."""
        name = self._guard.session_cookie
        return request.cookies.get(name) if name is not None else None

    def forget(self) -> None:
        """Look up again who holds what: something was ended."""
        if self._credentials is not None:
            self._credentials.forget()

    def _visitor(self, request: Request, session: str) -> Actor:
        if request.method not in _READS and request.headers.get("x-requested-with") != REQUESTED_WITH:
            raise HTTPException(
                403,
                f"{WANTED_HEADER}: a foreign page can send a session, and no header",
            )
        actor = self._kept(digest_of(session.encode()))
        if actor is None:
            raise HTTPException(401, "your session has ended: log in again", _CHALLENGE)
        return actor

    def _holder(self, client: str, given: bytes) -> Actor:
        digest = digest_of(given)
        wait = self._throttle.wait_seconds(client, digest.encode())
        if wait > 0:
            headers = {"Retry-After": str(ceil(wait))}
            raise HTTPException(429, f"too many unknown tokens came from here: try again in {ceil(wait)} s", headers)
        # A digest is looked up, so the time taken says nothing about a token that came close.
        actor = self._actors.get(digest) or self._kept(digest)
        if actor is None:
            refused = self._throttle.count_refusal(client)
            log.warning("login_refused", client=client, refused_lately=refused)
            raise HTTPException(401, "this token is not known, or has ended: log in with another", _CHALLENGE)
        self._throttle.prove(client, digest.encode())
        return actor

    def _kept(self, digest: str) -> Actor | None:
        holder = None if self._credentials is None else self._credentials.holder(digest)
        return None if holder is None else holder.actor


def _digest(token: str) -> str:
    return token.removeprefix(HASHED).lower() if token.startswith(HASHED) else digest_of(token.encode())


def _actor(token: str, role: Role, names: Mapping[str, str]) -> Actor:
    """Return the holder of *token*: holders of one role are told apart without their secret."""
    return Actor(names.get(token) or f"{role}-{_digest(token)[:8]}", role)


def _refuse_foreign_pages(method: str, headers: Headers) -> None:
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.lower() not in _LOOPBACK_NAMES:
        raise HTTPException(
            403, f"you asked for the host {host!r}: without web.tokens only localhost and 127.0.0.1 are served"
        )
    if method not in _READS and headers.get("x-requested-with") != REQUESTED_WITH:
        raise HTTPException(403, f"the header X-Requested-With is missing: {WANTED_HEADER}")


def identify(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Actor:
    """Return who asks; 401, 403 or 429 where that cannot be told."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return gatekeeper.admit(request, credentials)


def identify_scraper(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    gatekeeper.admit_scraper(request, credentials)


async def admit(request: Request) -> Actor:
    """Return who asks, before the body is read."""
    return await run_in_threadpool(identify, request, await _bearer(request))


def identify_viewer(actor: Annotated[Actor, Depends(identify)]) -> Actor:
    _require(actor, Role.VIEWER)
    return actor


def identify_annotator(actor: Annotated[Actor, Depends(identify)]) -> Actor:
    _require(actor, Role.ANNOTATOR)
    return actor


def identify_operator(actor: Annotated[Actor, Depends(identify)]) -> Actor:
    _require(actor, Role.OPERATOR)
    return actor


def _require(actor: Actor, role: Role) -> None:
    if not actor.role.covers(role):
        wanted = " or ".join(repr(allowed.value) for allowed in Role if allowed.covers(role))
        raise HTTPException(403, f"you have the role {actor.role.value!r}: this wants the role {wanted}")


Known = Annotated[Actor, Depends(identify)]  # whatever the role
Viewer = Annotated[Actor, Depends(identify_viewer)]  # an operator too
Annotator = Annotated[Actor, Depends(identify_annotator)]  # an operator too
Operator = Annotated[Actor, Depends(identify_operator)]
