"""Schemathesis asks the API everything, in every role, and finds nothing; `python -m tests.fuzzing` asks more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.fuzzing import ENDLESS, app_of, ask, fill

pytestmark = pytest.mark.postgres


@pytest.fixture
def app(postgres_url: str, engine: Engine, tmp_path: Path) -> Any:
    fill(postgres_url, engine, tmp_path)
    return app_of(engine)


@pytest.mark.parametrize(
    ("role", "phases", "statuses", "followed"),
    [
        ("operator", {"coverage": 1, "examples": 1, "stateful": 4}, {200, 201, 204, 401, 404, 405, 409, 422}, 30),
        ("viewer", {"examples": 1, "stateful": 4}, {200, 401, 403, 404}, 15),
        ("annotator", {"examples": 1, "stateful": 12}, {200, 401, 403}, 1),  # most of what it asks is not for it
    ],
)
def test_every_answer_is_one_that_the_description_has(
    app: Any, role: str, phases: Mapping[str, int], statuses: set[int], followed: int
) -> None:
    findings = ask(app, role, phases)
    assert str(findings) == ""
    described = app.openapi()["paths"].items()
    known = {f"{method.upper()} {path}" for path, methods in described for method in methods if path != ENDLESS}
    assert findings.asked.keys() == known
    assert findings.followed.total() >= followed
    assert findings.statuses.keys() >= statuses
