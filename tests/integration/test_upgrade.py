"""A database of the previous release: moved with its data, its baseline frozen again, and the same drifts found.

previous_release.sql.gz was dumped from a server on which the previous release's own code (21c61f4) had written 2,400
traces with a drift in length, refusals and rewards, and had stopped in the middle: the fold stands at trace 1,260,
inside the checkpoint of the traces 1,190 to 1,449, and the last three checkpoints have no place. previous_release.json
holds what the same code made of the same database when it folded on to the end.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from monitor.demo.postgres import EmbeddedPostgres
from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.incident import Incident
from monitor.drift.controller import Controller, freeze_window
from monitor.drift.freeze import NullRule
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.engine import create_engine_for
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.migrate import differences, upgrade
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.overview import PostgresOverview
from monitor.runs.model import ModelQuery, ModelState
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
HERE = Path(__file__).parent
RULES = rules_of(600)
EXPECTED: dict[str, Any] = json.loads((HERE / "previous_release.json").read_text())


@pytest.fixture(scope="module")
def _previous_template(postgres: EmbeddedPostgres) -> str:
    name = f"previous_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    with psycopg.connect(postgres.database_url(name), autocommit=True) as connection:
        connection.execute(gzip.decompress((HERE / "previous_release.sql.gz").read_bytes()))
    return name


@pytest.fixture
def previous_url(postgres: EmbeddedPostgres, _previous_template: str) -> Iterator[str]:
    """URL of a database as the previous release left it."""
    name = f"upgraded_{uuid4().hex}"
    database, template = sql.Identifier(name), sql.Identifier(_previous_template)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template {}").format(database, template))
        yield postgres.database_url(name)
        connection.execute(sql.SQL("drop database {} with (force)").format(database))


@pytest.fixture
def engine(previous_url: str) -> Iterator[Engine]:
    engine = create_engine_for(previous_url)
    yield engine
    engine.dispose()


def test_an_upgraded_database_freezes_the_same_window_again_and_finds_the_same_drifts(
    previous_url: str, engine: Engine
) -> None:
    upgrade(previous_url)
    store = PostgresFoldStore(engine)
    before, kept = store.active(), PostgresAlarms(engine).alarms(state=None, limit=100)
    assert before is not None
    assert before.baseline.outdated
    assert Controller(store, RULES).tick().folded == EXPECTED["overview"]["traces"]
    after = store.active()
    assert after is not None
    window = (after.baseline.first_place, after.baseline.stop_place)
    assert window == (before.baseline.first_place, before.baseline.stop_place) == (0, 600)
    assert after.baseline.prompts is None  # that release kept nothing of what was asked
    rows = PostgresAlarms(engine).alarms(state=None, limit=100)
    assert {row.state for row in rows if row.alarm_id in {item.alarm_id for item in kept}} == {AlarmState.SUPERSEDED}
    assert [row.alarm for row in rows[-len(kept) :]] == [item.alarm for item in kept]
    assert drifts(map(described, rows[: -len(kept)])) == drifts(EXPECTED["alarms"])
    incidents = PostgresIncidents(engine).incidents(states=(), limit=100)
    assert {row.incident_id for row in rows} == {incident.incident_id for incident in incidents}
    assert sum(len(members_of(engine, incident)) for incident in incidents) == len(rows)
    assert Controller(store, RULES).tick().alarms == ()
    assert store.active() == after


def drifts(alarms: Iterable[dict[str, Any]]) -> set[tuple[str, ...]]:
    """Return what drifted and where to, of the scorers that the baseline's window holds scores of."""
    return {
        (row["signal"], row["cohort"], row["policy_model"], row["direction"])
        for row in alarms
        if row["severity"] == "alert" and row["scorer_version"] != "v2"
    }


def test_an_operator_who_freezes_meanwhile_is_not_overruled(previous_url: str, engine: Engine) -> None:
    upgrade(previous_url)
    store = PostgresFoldStore(engine)
    store.place_entries()
    outdated = store.active()
    assert outdated is not None
    mine = store.freeze(freeze_window(store, NullRule(), first_place=100, stop_place=700), by="eve", note="mine")
    again = freeze_window(store, NullRule(), first_place=0, stop_place=600)
    assert store.freeze(again, by="controller", note="", instead_of=outdated.baseline_id) == mine


def described(row: Any) -> dict[str, Any]:
    alarm, effect = row.alarm, row.alarm.effect
    return {
        "signal": alarm.stream.signal,
        "cohort": alarm.stream.cohort,
        "policy_model": alarm.stream.policy_model,
        "scorer_version": alarm.stream.scorer_version,
        "state": row.state,
        "severity": alarm.severity,
        "direction": alarm.direction,
        "place": alarm.place,
        "trace_id": alarm.trace_id,
        "onset_place": alarm.onset_place,
        "observations": alarm.observations,
        "effect": [round(number, 9) for number in (effect.estimate, effect.lower, effect.upper)],
        "examples": list(alarm.examples),
    }


def members_of(engine: Engine, incident: Incident) -> tuple[StoredAlarm, ...]:
    detail = PostgresIncidents(engine).incident(incident.incident_id)
    assert detail is not None
    return detail.alarms


def test_the_counts_of_the_previous_release_go_on_as_running_totals(previous_url: str, engine: Engine) -> None:
    upgrade(previous_url)
    views = PostgresOverview(engine, kafka_lag=lambda: None)
    for _ in range(2):  # while three checkpoints wait for their place, and when they have it
        overview = views.overview()
        assert {
            "traces": overview.traces,
            "repeats": overview.repeats,
            "duplicates": overview.duplicates,
            "preferences": overview.preferences,
            "dead_letters": dict(overview.dead_letters),
            "last_timestamp": overview.last_timestamp.isoformat() if overview.last_timestamp else None,
        } == EXPECTED["overview"]
        Controller(PostgresFoldStore(engine), RULES).tick()
    assert views.fold_lag() == 0


def test_an_upgrade_keeps_every_trace_its_time_and_the_baseline_s_texts(
    previous_url: str, engine: Engine, tmp_path: Path
) -> None:
    before = rows_of(engine, "select trace_id, checkpoint_id, ordinal, timestamp, messages, response from trace")
    repeats = rows_of(engine, "select count(*) from checkpoint c join trace t using (checkpoint_id)"
                              " where c.first_index + t.ordinal < 600 and repeated")[0][0]  # fmt: skip
    upgrade(previous_url)
    with engine.begin() as connection:
        assert differences(connection) == []
    after = rows_of(engine, "select trace_id, entry_id, ordinal, timestamp, messages, response from trace")
    assert sorted(after, key=str) == sorted(before, key=str)
    assert rows_of(engine, "select count(*) from trace_default") == [(0,)]
    times = {(row.checkpoint_id, row.ordinal): (row.trace_id, row.timestamp) for row in before}
    for entry_id, ids, packed in rows_of(engine, "select entry_id, subject_ids, timestamps from log_subject"):
        micros = np.frombuffer(packed, "<i8")
        for ordinal, (trace_id, at) in enumerate(zip(ids, micros.tolist(), strict=True)):
            assert times.pop((entry_id, ordinal))[0] == trace_id
            assert at == round(next(row.timestamp for row in before if row.trace_id == trace_id).timestamp() * 1e6)
    assert times == {}
    file = PostgresBaselineTraces(engine).export(tmp_path / "window.jsonl")
    assert file is not None
    assert file.rows == 600 - repeats
    named = {model.state: model.version for model in RewardRegistry(engine).models(ModelQuery(), limit=10)}
    assert named == {ModelState.CHAMPION: "v2", ModelState.PREVIOUS: "v1"}


def test_a_worker_of_the_previous_release_fails_at_once_on_an_upgraded_database(
    previous_url: str, engine: Engine
) -> None:
    upgrade(previous_url)
    old = "insert into checkpoint (traces, repeats, duplicates, preferences, dead_letters) values (1, 0, 0, 0, '{}')"
    with pytest.raises(ProgrammingError, match='column "traces"'), engine.begin() as connection:
        connection.execute(text(old))


def rows_of(engine: Engine, query: str) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(text(query)).all())
