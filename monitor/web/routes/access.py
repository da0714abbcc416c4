"""Logging in and out, and the tokens of programs and people."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Annotated, Protocol

import structlog
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from monitor.access.credential import Credential, Holder, digest_of, new_secret
from monitor.access.oidc import OidcProvider, PendingLogin
from monitor.access.person import MAX_NAME_CHARACTERS, LoginRefused, Person
from monitor.domain.order import Actor, Role
from monitor.errors import Unavailable
from monitor.web.auth import Gatekeeper, Known, Operator
from monitor.web.paging import LINK, NumberedPage
from monitor.web.problem import describe
from monitor.web.routes.page import TEMPLATES
from monitor.web.state import Number, kept

MAX_DAYS = 3660
PENDING_SECONDS = 600  # for which a person may take to log in
_NAME = r"^[^\x00-\x1f\x7f]*$"

log = structlog.get_logger(__name__)
router = APIRouter(tags=["access"])  # under /api/v1
pages = APIRouter(include_in_schema=False)


class CredentialStore(Protocol):
    """Each change writes its row of the audit table in the same transaction."""

    def holder(self, digest: str) -> Holder | None: ...

    def create_token(
        self, digest: str, name: str, role: Role, lifetime: timedelta | None, *, by: Actor
    ) -> Credential: ...

    def open_session(self, digest: str, person: Person, lifetime: timedelta) -> None: ...

    def close_session(self, digest: str, actor: Actor) -> None: ...

    def revoke(self, credential_id: int, *, by: Actor) -> None: ...

    def credentials(self, *, ended: bool, limit: int, before: int | None = None) -> Sequence[Credential]:
        """Return the newest first, those numbered below *before* where it is given."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """How people log in, and under which names their browsers keep what they get."""

    provider: OidcProvider
    home: str  # the console's address, without a slash at its end
    lifetime: timedelta  # of a session

    @property
    def is_secure(self) -> bool:
        return self.home.startswith("https://")

    @property
    def session_cookie(self) -> str:
        return f"{self._prefix}monitor-session"

    @property
    def pending_cookie(self) -> str:
        return f"{self._prefix}monitor-login"

    def hand(self, answer: Response, name: str, value: str, seconds: int) -> None:
        """Give the browser a cookie that no script reads.

        Lax: the provider's redirect, and a link in an alert, come from another site.
        """
        answer.set_cookie(name, value, max_age=seconds, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def take(self, answer: Response, name: str) -> None:
        answer.delete_cookie(name, path="/", secure=self.is_secure, httponly=True)

    @property
    def _prefix(self) -> str:
        return "__Host-" if self.is_secure else ""  # no other host, and no page without TLS, can set such a cookie


Store = Annotated[CredentialStore, kept("credentials")]


@pages.get("/login")
def login(request: Request, after: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Send the browser to the provider of log-ins."""
    way = _way(request)
    url, pending = way.provider.begin(_local(after))
    answer = RedirectResponse(url, status_code=302)
    kept_text = urlsafe_b64encode(json.dumps(asdict(pending)).encode()).decode()
    way.hand(answer, way.pending_cookie, kept_text, PENDING_SECONDS)
    return answer


@pages.get("/login/callback")
def come_back(request: Request, store: Store) -> Response:
    """Let in whom the provider sent back, and go on to where they wanted to be."""
    way = _way(request)
    try:
        pending = _pending(request.cookies.get(way.pending_cookie, ""))
        person = way.provider.finish(pending, request.query_params)
    except LoginRefused as refused:
        client = request.client.host if request.client is not None else ""
        log.warning("login_refused", client=client, reason=str(refused))
        return _refusal(request, way, 403, str(refused))
    except Unavailable as away:
        log.warning("login_unavailable", reason=str(away))
        return _refusal(request, way, 503, away.plain)
    secret = new_secret()
    store.open_session(digest_of(secret.encode()), person, way.lifetime)
    answer = RedirectResponse(pending.after, status_code=302)
    way.take(answer, way.pending_cookie)
    way.hand(answer, way.session_cookie, secret, int(way.lifetime.total_seconds()))
    return answer


class LoggedOut(BaseModel):
    go_on: str | None = Field(description="where the provider ends its own session; null where it offers none")


@router.post("/logout")
def log_out(request: Request, response: Response, store: Store, actor: Known) -> LoggedOut:
    """End the browser's session; a token is ended by its revocation alone."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    way: Login | None = request.app.state.login
    session = gatekeeper.session_of(request)
    if way is None or session is None:
        return LoggedOut(go_on=None)
    store.close_session(digest_of(session.encode()), actor)
    gatekeeper.forget()
    way.take(response, way.session_cookie)
    try:
        return LoggedOut(go_on=way.provider.logout_url(way.home + "/"))
    except Unavailable:
        return LoggedOut(go_on=None)


class TokenOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=_NAME)] = Field(
        description="its holder, as labels and the audit name them"
    )
    role: Role
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = Field(90, description="until it ends; null: never")


class MadeToken(BaseModel):
    token: str = Field(description="the secret; it is told this once and kept nowhere")
    kept: Credential


@router.post("/tokens", responses=describe(409))
def create_token(order: TokenOrder, store: Store, actor: Operator) -> MadeToken:
    """Make an access token."""
    secret = new_secret()
    lifetime = None if order.days is None else timedelta(days=order.days)
    made = store.create_token(digest_of(secret.encode()), order.name, order.role, lifetime, by=actor)
    return MadeToken(token=secret, kept=made)


@router.get("/tokens", responses={200: {"headers": LINK}})
def list_tokens(
    store: Store,
    _: Operator,
    page: NumberedPage,
    ended: Annotated[bool, Query(description="those that have ended too")] = False,
) -> Sequence[Credential]:
    """List tokens and sessions, the newest first; those of the settings are not among them."""
    found = store.credentials(ended=ended, limit=page.wanted, before=page.after)
    return page.give(found, lambda credential: credential.credential_id)


@router.post("/tokens/{credential_id}/revoke", responses=describe(404, 409), status_code=204)
def revoke_token(request: Request, credential_id: Number, store: Store, actor: Operator) -> None:
    """End a token or a session; other replicas may take it for five seconds more."""
    store.revoke(credential_id, by=actor)
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    gatekeeper.forget()


def _way(request: Request) -> Login:
    way: Login | None = request.app.state.login
    if way is None:
        raise HTTPException(404, "nobody logs in here: web.oidc names no provider")
    return way


def _local(path: str) -> str:
    """Return *path* where it is one of this server, else the console's."""
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if inside else "/"


def _pending(kept_text: str) -> PendingLogin:
    try:
        return PendingLogin(**json.loads(urlsafe_b64decode(kept_text)))
    except (ValueError, TypeError):
        raise LoginRefused("the log-in took too long, or began in another browser: try again") from None


def _refusal(request: Request, way: Login, status: int, reason: str) -> Response:
    answer = TEMPLATES.TemplateResponse(request, "refused.html", {"reason": reason}, status_code=status)
    way.take(answer, way.pending_cookie)
    return answer
