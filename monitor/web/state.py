"""What the routes work on, kept on the app and handed to them by FastAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health
from monitor.web.ports import Commands, Views

_MAX_BIGINT = 2**63 - 1


def _views(request: Request) -> Views:
    views: Views = request.app.state.views
    return views


def _commands(request: Request) -> Commands:
    commands: Commands = request.app.state.commands
    return commands


def _health(request: Request) -> Health:
    health: Health = request.app.state.health
    return health


def _registry(request: Request) -> CollectorRegistry:
    registry: CollectorRegistry = request.app.state.registry
    return registry


Reads = Annotated[Views, Depends(_views)]
Writes = Annotated[Commands, Depends(_commands)]
State = Annotated[Health, Depends(_health)]
Registry = Annotated[CollectorRegistry, Depends(_registry)]
Limit = Annotated[int, Query(ge=1, le=1000, description="rows at most, newest first")]
Number = Annotated[int, Path(ge=1, le=_MAX_BIGINT)]  # what PostgreSQL's bigint can hold
