"""What a policy's run is given to read, from a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from monitor.domain.job import Action, JobState, Launch
from monitor.domain.label import RATING, LabelSource
from monitor.postgres.engine import create_engine_for
from monitor.postgres.policy_texts import Draw, PostgresPolicyTexts
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.work import PostgresTransactions
from monitor.runs.artifact import HashedFile, file_sha256
from tests.integration.preference_parts import answered, label, store_labels, store_traces
from tests.traces import drifting
from tests.watched import watch

pytestmark = pytest.mark.postgres
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def texts(engine: Engine) -> PostgresPolicyTexts:
    return PostgresPolicyTexts(engine)


def lines(file: HashedFile | None) -> list[dict[str, Any]]:
    assert file is not None
    found = [json.loads(line) for line in Path(file.path).read_text().splitlines()]
    assert (file.rows, file.sha256) == (len(found), file_sha256(Path(file.path)))
    return found


def draw(ratio: float = 0.1, least: int = 10, most: int = 50, **changes: Any) -> Draw:
    return replace(Draw(LONG_AGO, ratio, least, most, key="job 1"), **changes)


def named(rows: Sequence[dict[str, Any]]) -> set[str]:
    return {row["trace_id"] for row in rows}


def test_a_replay_is_drawn_at_random_within_its_bounds_and_always_the_same(
    texts: PostgresPolicyTexts, engine: Engine, tmp_path: Path
) -> None:
    store_traces(engine, [answered(number) for number in range(300)])
    first = texts.replay(tmp_path / "one", draw())
    again = texts.replay(tmp_path / "two", draw())
    other = texts.replay(tmp_path / "other", draw(key="job 2"))

    rows = lines(first.file)
    assert (first.wanted, len(rows)) == (30, 90)  # a run leaves out those that are like what it learns from
    most, every = (texts.replay(tmp_path / "most", draw(ratio=1.0)), draw(ratio=0.01, least=400, most=500))
    assert (most.wanted, len(lines(most.file))) == (50, 150)
    assert len(lines(texts.replay(tmp_path / "all", every).file)) == 300
    assert (first.file.sha256, again.file.sha256 == other.file.sha256) == (again.file.sha256, False)
    assert [row["index"] for row in rows] == list(range(90))
    number = int(rows[0]["trace_id"].removeprefix("t-"))
    assert rows[0]["messages"] == [{"role": "user", "content": f"question {number}"}]
    assert (rows[0]["response"], rows[0]["human"]) == (f"ours {number}", None)
    assert named(rows) != {f"t-{number}" for number in range(90)}


def test_an_answer_that_failed_or_came_before_the_days_is_not_replayed(
    texts: PostgresPolicyTexts, engine: Engine, tmp_path: Path
) -> None:
    store_traces(engine, [answered(0), answered(1, response=None), answered(2, error="boom")])
    assert named(lines(texts.replay(tmp_path / "some", draw()).file)) == {"t-0"}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert texts.replay(tmp_path / "none", draw(since=tomorrow)).wanted == 0


def test_what_people_judged_comes_with_its_probability_whether_it_was_drawn_or_not(
    texts: PostgresPolicyTexts, engine: Engine, tmp_path: Path
) -> None:
    store_traces(engine, [answered(number) for number in range(40)])
    store_labels(
        engine,
        label(3, 1.0, inclusion_probability=0.25),
        label(3, 0.0, annotator="bo", inclusion_probability=0.25),
        label(7, 0.0, source=LabelSource.AI),
        label(9, 1.0),  # nobody knows why this one was judged
        label(11, 1.0),
    )
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into review_item (trace_id, kind, probability, counted, reason, wanted)"
                " values ('t-11', 'preference', 0.05, true, 'floor', 1), ('t-9', 'preference', 1, false, 'example', 1)"
            )
        )
    assert texts.judged(tmp_path / "early", LONG_AGO) is None  # their texts have not been kept yet
    PostgresPreferences(engine).read_new()

    row, queued = lines(texts.judged(tmp_path / "judged", LONG_AGO))
    assert (queued["trace_id"], queued["human"]["probability"]) == ("t-11", 0.05)
    assert (row["trace_id"], row["response"]) == ("t-3", "ours 3")
    assert row["human"] == {"value": 0.5, "probability": 0.25, "reference_response": "theirs 3"}
    replayed = {row["trace_id"]: row for row in lines(texts.replay(tmp_path / "replay", draw(ratio=1.0)).file)}
    assert (replayed["t-3"]["human"], replayed["t-7"]["human"]) == (row["human"], None)


def test_thumbs_are_those_of_traces_and_of_labels_and_the_later_word_counts(
    texts: PostgresPolicyTexts, engine: Engine, tmp_path: Path
) -> None:
    assert texts.feedback(tmp_path / "none") is None
    store_traces(
        engine, [answered(number, feedback_rating=rating) for number, rating in enumerate((1, -1, 0, None, 1))]
    )
    thumbs = {"kind": RATING, "source": LabelSource.USER}
    store_labels(engine, label(3, 0.0, **thumbs), label(4, 0.0, **thumbs), label(0, 0.5, **thumbs))

    found = {row["feedback_id"]: row["desirable"] for row in lines(texts.feedback(tmp_path / "thumbs"))}
    assert found == {"t-1": False, "t-3": False, "t-4": False}


def test_the_prompts_of_an_alarm_are_its_examples_and_others_since_its_onset(
    texts: PostgresPolicyTexts, engine: Engine, postgres_url: str, tmp_path: Path
) -> None:
    watch(postgres_url, drifting(1500, change=900), baseline=600)
    with engine.begin() as connection:
        alarm = connection.execute(text("select * from alarm where cohort = '*' order by alarm_id limit 1")).one()
    with PostgresTransactions(engine)() as work:
        for alarm_id in (alarm.alarm_id, None):
            action = Action.DPO if alarm_id else Action.REWARD_REFRESH
            assert work.jobs.insert(Launch(action, alarm_id, False), JobState.QUEUED, reason="r", requested_by="me")

    rows = lines(texts.asked(tmp_path / "asked", 1, limit=50))
    assert len(rows) == 50
    assert set(alarm.examples) <= named(rows)
    onset = (alarm.onset_timestamp - drifting(1, change=1)[0].timestamp).total_seconds()
    assert all(int(row["trace_id"].removeprefix("t-")) >= onset for row in rows)
    assert texts.asked(tmp_path / "none", 2, limit=50) is None
