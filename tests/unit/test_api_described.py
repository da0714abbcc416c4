"""The API's description of itself: complete, and true to its own schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from prometheus_client import CollectorRegistry

from monitor.telemetry.health import Health
from monitor.web.app import create_app
from tests.unit.in_memory_ports import InMemoryMonitor

PROBES = {"/healthz", "/readyz", "/metrics"}  # open to all, and they take nothing


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    app = create_app(InMemoryMonitor().ports(), health=Health([]), registry=CollectorRegistry(), tokens={"t": "viewer"})
    return app.openapi()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield where, of which media type and what, of everything that is sent."""
    for media_type, told in operation.get("requestBody", {}).get("content", {}).items():
        yield "body", media_type, told
    for status, response in operation["responses"].items():
        for media_type, told in response.get("content", {}).items():
            yield status, media_type, told


def test_every_body_and_every_answer_has_an_example_that_is_a_valid_instance(described: dict[str, Any]) -> None:
    formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
    count = 0
    for name, operation in operations(described):
        empty = {status for status, response in operation["responses"].items() if "content" not in response}
        assert empty <= {"204", "304"}, name
        for where, media_type, told in contents(operation):
            schema = {**told["schema"], "components": described["components"]}
            checked = jsonschema.Draft202012Validator(schema, format_checker=formats)
            assert list(checked.iter_errors(told["example"])) == [], (name, where)
            assert told["example"] not in ({}, []), (name, where, media_type)
            count += 1
    assert count > 500


def test_every_operation_says_what_it_refuses_and_what_each_parameter_is_for(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        wanted = {"411", "413"} if name.partition(" ")[2] in PROBES else {"401", "403", "411", "413", "422", "429"}
        if "requestBody" in operation:
            wanted |= {"400"}
        if "{" in name:
            wanted |= {"404"}
        assert wanted <= operation["responses"].keys(), name
        for parameter in operation["parameters"]:
            assert parameter["description"], (name, parameter["name"])


def test_what_the_description_refers_to_is_in_it(described: dict[str, Any]) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for item in part:
                yield from references(item)

    told = set(references(described))
    assert "#/components/schemas/Problem" in told
    assert told == {f"#/components/schemas/{name}" for name in described["components"]["schemas"]} & told
    answers = [told for _, one in operations(described) for told in one["responses"].values()]
    links = [link for answer in answers for link in answer.get("links", {}).values()]
    assert {link["operationId"] for link in links} <= {one["operationId"] for _, one in operations(described)}
    assert len(links) > 50
