"""Labels in a real PostgreSQL."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from monitor.domain.label import PREFERENCE, REFUSAL, LabelSource
from monitor.labels.verdict import verdicts
from monitor.postgres import labels as sql
from monitor.postgres.engine import transaction
from monitor.postgres.labels import PostgresLabels, insert_labels
from tests.labels import label, random_labels

FILL = """
insert into label select 'l-' || i, '', now(), 't-' || i / 3, 'a-' || i % 3, 'preference', 1, 'c-1', null, '{}', 'human'
  from generate_series(1, 20000) i;
analyze label
"""


@pytest.mark.parametrize("seed", range(3))
def test_stored_labels_come_to_the_same_verdicts_as_the_same_labels_in_a_file(engine: Engine, seed: int) -> None:
    random = Random(seed)
    given = random_labels(random, 200)
    for start in range(0, 200, 40):
        with transaction(engine) as connection:
            insert_labels(connection, given[start : start + 40] + given[: start // 2])
    questions: list[dict[str, Any]] = [
        {},
        {"criteria_version": "c-1"},
        {"stated_only": True},
        {"sources": set(LabelSource)},
    ]
    with transaction(engine) as connection:
        for kind in (PREFERENCE, REFUSAL):
            for question in questions:
                stored = PostgresLabels(engine).verdicts(connection, kind, ["t-0", "t-1", "t-2", "t-9"], **question)
                assert stored == verdicts(given, kind, **question)
        known = {(row.label_id, row.digest): sql.label_of(row) for row in connection.execute(text("table label"))}
    assert known == {(item.label_id, item.digest()): item for item in given}


def test_a_label_is_new_once(engine: Engine) -> None:
    first, other = label(1), label(1, value=0.0)
    new = [{(item.label_id, item.digest()) for item in batch} for batch in ((first,), (other,))]
    with transaction(engine) as connection:
        assert insert_labels(connection, [first, first]) == new[0]
        assert insert_labels(connection, [other, first]) == new[1]
        assert insert_labels(connection, []) == set()


def test_verdicts_are_found_by_index(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(FILL))
        values = {"trace_ids": [f"t-{number}" for number in range(8)], "kind": PREFERENCE}
        plan = "\n".join(connection.execute(text(f"explain {sql._OF_TRACES}"), values).scalars())
    for part in ("ix_label_trace_id_kind", "pk_label"):
        assert part in plan, plan
    assert "Seq Scan" not in plan, plan
