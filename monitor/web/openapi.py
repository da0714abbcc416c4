"""The API's description: what every route has in common is added in one place."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from monitor.web.example import example_of
from monitor.web.idempotency import KEY_HEADER
from monitor.web.problem import MEDIA_TYPE, Problem, describe

_ABOUT = (
    "What the console shows and does. Listings have cursors, changes take an `Idempotency-Key`, and every refusal is"
    " `application/problem+json`: docs/api.md tells more."
)
_DETAILS = {
    400: "There was an error parsing the body",
    401: "this token is not known, or has ended: log in with another",
    403: "you have the role 'viewer': this wants the role 'operator'",
    404: "there is no alarm 99: /api/v1/alarms lists them",
    409: "alarm 7 is acknowledged; acknowledge wants one that is open or snoozed",
    411: "the request does not say how long its body is: send the header Content-Length",
    413: "Content-Length is '20000': a body has 16384 bytes at most here",
    422: "query.limit = '0': Input should be greater than or equal to 1",
    429: "too many unknown tokens came from here: try again in 6 s",
    500: "the request failed inside the monitor; its log says why",
    503: "PostgreSQL is away",
}
_TAG_HEADER = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the answer that you have: while it holds, the answer is 304 and has no body.",
    "schema": {"type": "string"},
    "example": 'W/"0c1d2e3f4a5b6c7d8e9f0a1b"',
}
_TAG = {"ETag": {"description": "of this content", "schema": {"type": "string"}}}
# Where an answer tells what stands in other paths: method and path, and the place of each parameter in the body.
_TOLD_BY: dict[tuple[str, str], dict[str, str]] = {
    ("get", "/api/v1/alarms"): {"alarm_id": "/0/alarm_id"},
    ("post", "/api/v1/alarms/{alarm_id}/acknowledge"): {"alarm_id": "/alarm_id"},
    ("post", "/api/v1/alarms/{alarm_id}/snooze"): {"alarm_id": "/alarm_id"},
    ("get", "/api/v1/incidents"): {"incident_id": "/0/incident_id"},
    ("get", "/api/v1/incidents/{incident_id}"): {"alarm_id": "/alarms/0/alarm_id"},
    ("get", "/api/v1/jobs"): {"job_id": "/0/job/job_id"},
    ("post", "/api/v1/jobs"): {"job_id": "/job/job_id"},
    ("post", "/api/v1/jobs/{job_id}/approve"): {"job_id": "/job/job_id"},
    ("get", "/api/v1/baselines"): {"baseline_id": "/0/baseline_id"},
    ("post", "/api/v1/baselines"): {"baseline_id": "/baseline_id"},
    ("get", "/api/v1/models"): {"version": "/0/version"},
    ("get", "/api/v1/streams"): {"stream_id": "/0/stream_id"},
    ("get", "/api/v1/traces"): {"trace_id": "/0/trace_id"},
    ("get", "/api/v1/tokens"): {"credential_id": "/0/credential_id"},
    ("post", "/api/v1/tokens"): {"credential_id": "/kept/credential_id"},
}
_UNTAGGED = frozenset({"/api/v1/overview/changes"})  # it goes on


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
    known = schema["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    known |= problem.pop("$defs") | {"Problem": problem}
    schema["paths"]["/metrics"]["get"]["security"].append({})  # where no token is set for it
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parameters, responses = operation.setdefault("parameters", []), operation["responses"]
            before = describe(411, 413)
            if method == "post":
                before |= describe(400)
                parameters.append(KEY_HEADER)
            elif path not in _UNTAGGED:
                responses["200"]["headers"] = responses["200"].get("headers", {}) | _TAG
                responses["304"] = {"description": "You have this answer already"}
                parameters.append(_TAG_HEADER)
            responses |= {str(status): told for status, told in before.items() if str(status) not in responses}
            for status, told in responses.items():
                _exemplify(told.get("content", {}), int(status), known)
            _exemplify(operation.get("requestBody", {}).get("content", {}), 0, known)
    for (method, path), places in _TOLD_BY.items():
        _link(schema["paths"], schema["paths"][path][method], places)
    return schema


def _link(paths: dict[str, Any], source: dict[str, Any], places: Mapping[str, str]) -> None:
    """Lead from what *source* answers to every operation whose path wants what stands in one of *places*."""
    links = source["responses"]["201" if "201" in source["responses"] else "200"].setdefault("links", {})
    for parameter, place in places.items():
        for path, methods in paths.items():
            for target in methods.values() if f"{{{parameter}}}" in path else ():
                name = target["operationId"]
                links[name] = {"operationId": name, "parameters": {parameter: f"$response.body#{place}"}}


def _exemplify(content: dict[str, Any], status: int, known: dict[str, Any]) -> None:
    for media_type, told in content.items():
        if media_type == MEDIA_TYPE:
            example = {"title": HTTPStatus(status).phrase, "status": status, "detail": _DETAILS[status]}
            content[media_type] = {**told, "example": example}
        elif media_type == "application/json":
            content[media_type] = {**told, "example": example_of(told["schema"], known)}
