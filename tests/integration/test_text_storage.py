"""What is stored of texts that are not kept, and what is made of texts that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from monitor.domain.trace import Trace
from monitor.drift.controller import Controller
from monitor.ingest.offset import StoredOffset
from monitor.observe.texts import NOT_KEPT, TextRule
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.policy_texts import Draw, PostgresPolicyTexts
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.reask import PostgresReask
from monitor.postgres.streams import PostgresFoldStore
from tests.commands import Run
from tests.integration.preference_parts import START, answered, label, store_labels
from tests.traces import checkpoint, observed, scored
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
COUNT, WINDOW = 700, 600
CUT, TOOLS = 3, 4


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


def store(engine: Engine, traces: list[Trace], rule: TextRule) -> None:
    """Store *traces* as the worker does, and freeze a baseline of the first ones."""
    checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    checkpoints.begin({("traces", 0): StoredOffset(0)})
    items = scored(traces)
    kept = rule.stored(items)
    checkpoints.write(checkpoint(kept, observed=replace(observed(items), traces=kept)))
    Controller(PostgresFoldStore(engine), rules_of(WINDOW)).tick()


def number(engine: Engine, query: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def test_without_texts_all_is_observed_and_nothing_is_left_to_score_again(engine: Engine, tmp_path: Path) -> None:
    traces = [answered(at, error="it broke" if at == 5 else None) for at in range(COUNT)]
    store(engine, traces, TextRule(0.0, b"key"))
    texts = "response is not null or reference_response is not null or messages <> '[]'"
    assert number(engine, f"select count(*) from trace where {texts}") == 0  # noqa: S608
    assert number(engine, f"select count(*) from trace where error = '{NOT_KEPT}'") == 1  # noqa: S608
    assert number(engine, "select count(*) from observation_batch where signal = 'refusal'") > 0
    assert number(engine, "select count(*) from baseline where active") == 1
    window = PostgresBaselineTraces(engine)
    assert window.export(tmp_path / "rescore.jsonl") is None
    assert not (tmp_path / "rescore.jsonl").exists()
    assert window.window() is None


def test_a_sample_is_what_a_new_scorer_s_baseline_is_made_of(engine: Engine, tmp_path: Path) -> None:
    store(engine, [answered(at) for at in range(COUNT)], TextRule(0.2, b"key"))
    kept = number(engine, "select count(*) from trace where response is not null")
    assert 100 < kept < 180
    file = PostgresBaselineTraces(engine).export(tmp_path / "rescore.jsonl")
    assert file is not None
    assert file.rows == number(engine, "select count(*) from baseline_trace")
    assert 80 < file.rows < 160


def test_texts_that_were_cut_and_calls_of_tools_teach_nothing(engine: Engine, tmp_path: Path) -> None:
    changes: dict[int, dict[str, object]] = {CUT: {"truncated": True}, TOOLS: {"tool_calls": 1}}
    store(engine, [answered(at, **changes.get(at, {})) for at in range(COUNT)], TextRule())
    store_labels(engine, label(CUT), label(8))
    assert PostgresPreferences(engine).export(tmp_path / "pairs.jsonl", tmp_path / "card.json").rows == 1
    assert number(engine, f"select count(*) from baseline_trace where trace_id = 't-{CUT}'") == 0  # noqa: S608
    everything = Draw(START.replace(year=2020), 1.0, COUNT, COUNT, key="job 1")
    assert PostgresPolicyTexts(engine).replay(tmp_path / "replay.jsonl", everything).file.rows == COUNT - 2
    reask = PostgresReask(engine, daily_requests=10, daily_tokens=10)
    logged = reask.logged([f"t-{CUT}", f"t-{TOOLS}", "t-9"])
    assert set(logged) == {"t-9"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"INGEST__REDACTION__FUNCTION": "nowhere:redact"}, "ingest.redaction.function = 'nowhere:redact'"),
        (
            {"INGEST__TEXT__KEEP": "none", "DRIFT__REFERENCE__ENDPOINT": "http://policy/v1"},
            "drift.reference.endpoint: stored prompts are asked again",
        ),
    ],
)
def test_the_daemon_refuses_what_cannot_work_before_it_reads_anything(
    run: Run, postgres_url: str, settings: dict[str, str], told: str
) -> None:
    refused = run("run", POSTGRES__URL=postgres_url, **settings)
    assert refused.code == 2
    assert told in refused.err
