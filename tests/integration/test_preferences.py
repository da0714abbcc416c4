"""Preference pairs as a run is given them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from monitor.postgres import schema
from monitor.postgres.engine import create_engine_for
from monitor.postgres.preferences import PostgresPreferences

pytestmark = pytest.mark.postgres

TOLD = {"timestamp": datetime(2026, 11, 1, tzinfo=UTC), "cohort": "a", "dimensions": {}, "tie": False}


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url, pool_size=2)
    yield engine
    engine.dispose()


def prefer(engine: Engine, preference_id: str, **changes: Any) -> None:
    messages = [{"role": "user", "content": f"question {preference_id}"}]
    row = {"preference_id": preference_id, "messages": messages, "chosen": "yes", "rejected": "no"}
    with engine.begin() as connection:
        connection.execute(insert(schema.preference).values(TOLD | row | changes))


def test_exported_pairs_carry_their_hash_and_no_ties(engine: Engine, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "question p-1"}, {"role": "assistant", "content": "yes"}]
    prefer(engine, "p-2", messages=[*turns, {"role": "user", "content": "sure?"}])
    prefer(engine, "p-1")
    prefer(engine, "p-3")
    prefer(engine, "p-4", tie=True)
    preferences = PostgresPreferences(engine)
    file = preferences.export(tmp_path / "pairs.jsonl")
    content = Path(file.path).read_bytes()
    rows = [json.loads(line) for line in content.splitlines()]
    assert (file.rows, file.sha256) == (3, sha256(content).hexdigest())
    assert [row["preference_id"] for row in rows] == ["p-1", "p-2", "p-3"]
    assert rows[0]["conversation_id"] == rows[1]["conversation_id"] != rows[2]["conversation_id"]
    assert rows[0]["timestamp"] == "2026-11-01T00:00:00+00:00"
    assert preferences.export(tmp_path / "again.jsonl").sha256 == file.sha256
