"""The application: routes, errors and headers around what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType

from fastapi import APIRouter, Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute

from monitor import __version__
from monitor.access.credential import RememberedCredentials
from monitor.telemetry.health import Health
from monitor.web import problem
from monitor.web.auth import Gatekeeper, Guard, admit
from monitor.web.feed import Feed
from monitor.web.idempotency import Idempotency, Keys
from monitor.web.middleware import GZIP_BYTES, BodyLimit, ContentTags, HeadAsGet, SecurityHeaders
from monitor.web.openapi import describe_api
from monitor.web.parameters import refuse_unknown_parameters
from monitor.web.routes import (
    access,
    agreement,
    alarm,
    audit,
    baseline,
    criteria,
    drift,
    erasure,
    estimate,
    frame,
    front,
    job,
    label,
    letter,
    model,
    notification,
    page,
    preference,
    probe,
    queue,
    review,
    signal,
    stream,
    suite,
    trace,
    whoami,
)

_API = (
    whoami,
    access,
    front,
    drift,
    stream,
    alarm,
    job,
    model,
    review,
    queue,
    criteria,
    estimate,
    label,
    preference,
    letter,
    agreement,
    suite,
    erasure,
    signal,
    notification,
    trace,
    baseline,
    audit,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """What the routes read and change, by subject.

    Their methods are called from a pool of threads, so they must be safe to run at once. Each may
    raise `Unavailable`; the client is told to come back.
    """

    overview: front.Overviews
    boards: front.Boards
    heatmaps: front.Heatmaps
    versions: front.Versions
    streams: drift.Streams
    days: drift.Days
    baselines: drift.Baselines
    correlations: drift.Correlations
    anchors: drift.Anchors
    alarms: alarm.Alarms
    pages: alarm.AlarmPages
    incidents: alarm.Incidents
    notified: notification.Notified
    jobs: job.Jobs
    models: model.Registry
    releases: model.Releases
    reviews: review.Reviews
    estimates: estimate.Reports
    labels: label.Labels
    agreement: agreement.Agreements
    probes: suite.Probes
    erasures: erasure.Erasures
    signals: signal.Signals
    traces: trace.Traces
    freezes: baseline.Freezes
    audit: audit.AuditLog
    credentials: access.CredentialStore
    histories: stream.Histories
    keys: Keys
    letters: letter.Letters
    letter_desk: letter.LetterDesk
    queue: queue.Queue
    criteria: criteria.CriteriaVersions
    preferences: preference.Preferences
    reasks: alarm.Reasks


def create_app(
    ports: Ports,
    *,
    health: Health,
    registry: CollectorRegistry,
    tokens: Mapping[str, str],
    names: Mapping[str, str] = MappingProxyType({}),
    login: access.Login | None = None,
    wants_login: bool = False,
    metrics_token: str | None = None,
) -> FastAPI:
    """Return the app; *tokens* maps a bearer token to its role, and *names* some of them to their holder.

    Without tokens, *login* and *wants_login*, everybody is let in: the app must be bound to loopback then. Without
    *metrics_token* everybody reads /metrics.
    """
    app = FastAPI(
        title="rlhf-monitor",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        routes=[*_routes()],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(BodyLimit, admit=admit),
            Middleware(HeadAsGet),
            Middleware(GZipMiddleware, minimum_size=GZIP_BYTES, compresslevel=6),
            Middleware(ContentTags),
            Middleware(Idempotency, admit=admit),
        ],
    )
    for port in fields(ports):
        setattr(app.state, port.name, getattr(ports, port.name))
    app.state.health = health
    app.state.registry = registry
    app.state.feed = Feed(lambda: {**ports.versions.versions(), "health": readiness_of(health)})
    app.state.login = login
    guard = Guard(tokens, names, wants_login, None if login is None else login.session_cookie, metrics_token)
    app.state.gatekeeper = Gatekeeper(guard, RememberedCredentials(ports.credentials))
    problem.install(app)
    describe_api(app)
    app.mount("/static", StaticFiles(directory=page.CONSOLE / "static"), name="static")
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes, which know no app: reading their signatures is most of the work of making one."""
    router = APIRouter()
    router.include_router(probe.router)
    for part in _API:
        router.include_router(
            part.router,
            prefix="/api/v1",
            responses=problem.describe(401, 403, 422, 429, 500, 503),
            dependencies=[Depends(refuse_unknown_parameters)],
        )
    router.include_router(page.router)
    router.include_router(frame.router)
    router.include_router(access.pages)
    return router.routes


def readiness_of(health: Health) -> str:
    """Return which parts are not ready; why changes too often to be news."""
    return " ".join(sorted(part for part, reason in health.ready()[1].items() if reason))
