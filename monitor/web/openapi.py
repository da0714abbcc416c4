"""The API's description: what every route has in common is added in one place."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from monitor.web.idempotency import KEY_HEADER
from monitor.web.problem import describe

_ABOUT = (
    "What the console shows and does. Listings have cursors, changes take an `Idempotency-Key`, and every refusal is"
    " `application/problem+json`: docs/api.md tells more."
)
_EXAMPLE = {
    "title": "Not Found",
    "status": 404,
    "detail": "there is no alarm 99: /api/v1/alarms lists them",
}


def describe_api(app: FastAPI) -> None:
    """Let *app* describe itself in full: refusals that come before a route, and keys of changes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(
                get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if not path.startswith("/api/v1/"):
                continue
            if method == "post":
                before = {str(status): told for status, told in describe(400, 411, 413).items()}
                operation["responses"] = {**before, **operation["responses"]}
                operation.setdefault("parameters", []).append(KEY_HEADER)
            _exemplify(operation["responses"])
    return schema


def _exemplify(responses: dict[str, Any]) -> None:
    for status, told in responses.items():
        content = told.get("content", {}).get("application/problem+json")
        if content is not None:
            example = _EXAMPLE | {"status": int(status), "title": told["description"]}
            told["content"] = {"application/problem+json": {**content, "example": example}}
