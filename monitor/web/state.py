"""What the routes work on, kept on the app and handed to them by FastAPI."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health

MAX_BIGINT = 2**63 - 1


def kept(name: str) -> Any:
    """Return the dependency that hands a route what the app keeps under *name*."""

    def get(request: Request) -> object:
        return getattr(request.app.state, name)

    return Depends(get)


State = Annotated[Health, kept("health")]
Registry = Annotated[CollectorRegistry, kept("registry")]
Number = Annotated[int, Path(ge=1, le=MAX_BIGINT)]  # what PostgreSQL's bigint can hold
