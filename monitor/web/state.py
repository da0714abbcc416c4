"""What the routes work on, kept on the app and handed to them by FastAPI."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from prometheus_client import CollectorRegistry
from pydantic import AwareDatetime, BeforeValidator
from starlette.convertors import PathConvertor, register_url_convertor

from monitor.telemetry.health import Health

MAX_NUMBER = 2**53 - 1  # what every reader of JSON holds exactly, browsers too; PostgreSQL's bigint holds more


class NameConvertor(PathConvertor):
    """A name in a path as its maker wrote it, `{id:name}`: slashes and line ends too."""

    regex = r"[\s\S]*"


register_url_convertor("name", NameConvertor())


def kept(name: str) -> Any:
    """Return the dependency that hands a route what the app keeps under *name*."""

    def get(request: Request) -> object:
        return getattr(request.app.state, name)

    return Depends(get)


State = Annotated[Health, kept("health")]
Registry = Annotated[CollectorRegistry, kept("registry")]


def _written_as_a_date(given: object) -> object:
    """Refuse numbers, which would be seconds since 1970: nobody means them."""
    if isinstance(given, str) and not (len(given) >= len("2026-11-22") and given[4] == given[7] == "-"):
        raise ValueError("write it as 2026-11-22, and a time as 2026-11-22T03:00:00Z")
    return given


Day = Annotated[date, BeforeValidator(_written_as_a_date)]
Instant = Annotated[AwareDatetime, BeforeValidator(_written_as_a_date)]
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER, description="as its listing tells it", examples=[7])]
