"""Errors as the client sees them: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from monitor.errors import Conflict, InvalidInput, InvalidRow, InvalidRows, InvalidSetting, NotFound, Unavailable

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
_SHOWN_CHARACTERS = 100
_STATUSES: dict[type[Exception], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    InvalidSetting: HTTPStatus.CONFLICT,  # of this monitor: whoever asks can change nothing about it
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Problem(BaseModel):
    title: str = Field(description="the kind of error, the same for every error of its status")
    status: int
    detail: str = Field(description="what was found, and what to do")
    rows: list[InvalidRow] | None = Field(None, description="of a batch: each row that is wrong")


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for the errors a route answers with; `describe_api` adds what they refer to."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def answer(status: int, detail: str, headers: dict[str, str] | None = None, **more: object) -> Response:
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(json.dumps(content), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes at the request's path: one route alone knows its own."""
    found: dict[int, set[str]] = {}  # by how many places of the path stand for anything: the fewest tell best
    described: dict[str, dict[str, object]] = request.app.openapi()["paths"]
    for template, known in described.items():
        pattern = "[^/]+".join(map(re.escape, re.split(r"{\w+}", template)))
        if re.fullmatch(pattern, request.url.path):
            found.setdefault(template.count("{"), set()).update(method.upper() for method in known)
    return found[min(found)] if found else {"GET"}


def install(app: FastAPI) -> None:
    """Make every error of *app* a problem document."""

    def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(_allowed(request)))
        return answer(error.status_code, error.detail, headers)

    def on_invalid_request(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = []
        for item in error.errors():
            # ASCII: a value may hold lone surrogates, which no encoding of the answer can carry.
            value = ascii(item["input"])
            shown = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "..."
            wrong.append(f"{'.'.join(str(part) for part in item['loc'])} = {shown}: {item['msg']}")
        return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(wrong))

    def on_invalid_rows(_: Request, error: Exception) -> Response:
        assert isinstance(error, InvalidRows)
        return answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), rows=[asdict(row) for row in error.rows])

    def on_known(_: Request, error: Exception) -> Response:
        return answer(_STATUSES[type(error)], str(error))

    def on_unavailable(request: Request, error: Exception) -> Response:
        assert isinstance(error, Unavailable)
        log.warning("request_unavailable", path=request.url.path, reason=str(error))  # it may quote a host or a user
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, error.plain, {"Retry-After": "5"})

    def on_bug(_: Request, _error: Exception) -> Response:
        return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed inside the monitor; its log says why")

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(InvalidRows, on_invalid_rows)
    for kind in _STATUSES:
        app.add_exception_handler(kind, on_known)
    app.add_exception_handler(Unavailable, on_unavailable)
    app.add_exception_handler(Exception, on_bug)
