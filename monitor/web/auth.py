"""Who asks: bearer tokens with roles, or everybody on this machine where none are configured."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from math import ceil
from types import MappingProxyType
from typing import Annotated

import structlog
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from monitor.domain.order import Actor, Role
from monitor.web.throttle import LoginThrottle

LOCAL = Actor("local", Role.OPERATOR)
REQUESTED_WITH = "rlhf-monitor"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_READS = frozenset({"GET", "HEAD"})
_CHALLENGE = {"WWW-Authenticate": "Bearer"}

log = structlog.get_logger(__name__)
_bearer = HTTPBearer(auto_error=False, description="a token of the setting web.tokens")


class Gatekeeper:
    """Tells who a request comes from, or refuses it.

    Without tokens the server listens on loopback alone, yet any page open in a
    browser on that machine can send requests there. A foreign page can neither
    name a loopback host (its own name stands in Host, rebound or not) nor add
    the header `X-Requested-With` without a preflight, which is never granted.
    """

    def __init__(
        self,
        tokens: Mapping[str, str],
        throttle: LoginThrottle | None = None,
        *,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._throttle = throttle or LoginThrottle()
        self._actors = {token.encode(): _actor(token, Role(role), names) for token, role in tokens.items()}

    @property
    def wants_token(self) -> bool:
        return bool(self._actors)

    def admit(self, request: Request, credentials: HTTPAuthorizationCredentials | None) -> Actor:
        if not self.wants_token:
            _refuse_foreign_pages(request.method, request.headers)
            return LOCAL
        if credentials is None:
            raise HTTPException(401, "no token was sent: log in with one of web.tokens", _CHALLENGE)
        client = request.client.host if request.client is not None else ""
        return self._holder(client, credentials.credentials.encode("latin-1"))  # the header's bytes again

    def _holder(self, client: str, given: bytes) -> Actor:
        digest = sha256(given).digest()
        wait = self._throttle.wait_seconds(client, digest)
        if wait > 0:
            headers = {"Retry-After": str(ceil(wait))}
            raise HTTPException(429, f"too many unknown tokens came from here: try again in {ceil(wait)} s", headers)
        # Every token is compared, so the time taken says nothing about which of them came close.
        matches = [actor for token, actor in self._actors.items() if hmac.compare_digest(token, given)]
        if not matches:
            refused = self._throttle.count_refusal(client)
            log.warning("login_refused", client=client, refused_lately=refused)
            raise HTTPException(401, "this token is not known: log in with one of web.tokens", _CHALLENGE)
        self._throttle.prove(client, digest)
        return matches[0]


def _actor(token: str, role: Role, names: Mapping[str, str]) -> Actor:
    """Return the holder of *token*: holders of one role are told apart without their secret."""
    return Actor(names.get(token) or f"{role}-{sha256(token.encode()).hexdigest()[:8]}", role)


def _refuse_foreign_pages(method: str, headers: Headers) -> None:
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.lower() not in _LOOPBACK_NAMES:
        raise HTTPException(
            403, f"you asked for the host {host!r}: without web.tokens only localhost and 127.0.0.1 are served"
        )
    if method not in _READS and headers.get("x-requested-with") != REQUESTED_WITH:
        raise HTTPException(
            403, f"the header X-Requested-With is missing: send X-Requested-With: {REQUESTED_WITH} with every change"
        )


def identify(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Actor:
    """Return who asks; 401, 403 or 429 where that cannot be told."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return gatekeeper.admit(request, credentials)


async def admit(request: Request) -> Actor:
    """Return who asks, before the body is read."""
    return identify(request, await _bearer(request))


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
        raise HTTPException(403, f"your token has the role {actor.role.value!r}: this wants the role {wanted}")


Known = Annotated[Actor, Depends(identify)]  # whatever the role
Viewer = Annotated[Actor, Depends(identify_viewer)]  # an operator too
Annotator = Annotated[Actor, Depends(identify_annotator)]  # an operator too
Operator = Annotated[Actor, Depends(identify_operator)]
