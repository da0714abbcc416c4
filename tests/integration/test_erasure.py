"""Somebody's texts are deleted wherever they stand, and what is counted stays."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import Engine, text

from monitor.app.erasure import Erasing
from monitor.domain.covariates import Covariates
from monitor.domain.erasure import ErasureSubject, SubjectKind
from monitor.domain.order import Actor, Role
from monitor.domain.review import Answer, AnswerGiven
from monitor.domain.text import for_html_lines
from monitor.domain.trace import Message, Preference, Trace
from monitor.drift.controller import Controller
from monitor.errors import Conflict
from monitor.ingest.offset import StoredOffset
from monitor.ingest.part import Part, PartKind
from monitor.observe.embedding import Embedded
from monitor.observe.gather import ObservedTrace, gather
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.preference_sets import keep_set
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.retrain import RetrainSettings
from tests.commands import Run
from tests.integration.preference_parts import answered, label, store_labels
from tests.integration.reviewing import DRAWN, queue_of
from tests.traces import checkpoint, scored
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
MARKER = "Zanzibar-4711"
USER, CONVERSATION = f"user {MARKER}", f"conversation {MARKER}"
BY = Actor("olga", Role.OPERATOR)
GONE = ErasureSubject(SubjectKind.USER, USER)
COUNT = 700
QUOTED, LONG = f"I cannot forget {MARKER} any more", f"{MARKER} <again> & again & again"
MARKED: dict[int, dict[str, Any]] = {
    3: {"response": QUOTED, "reference_response": f"Who is {MARKER}, I wonder aloud?"},
    4: {"response": LONG},
    5: {"response": None, "reference_response": None, "error": f"the prompt {MARKER} was refused"},
    650: {"response": f"after the window: {MARKER}", "conversation_id": "another"},
}


def traces() -> list[Trace]:
    found = []
    for number in range(COUNT):
        item = answered(number)
        if number in MARKED:
            asked = (Message("system", "Be kind."), Message("user", f"Do you know {MARKER} ({number})?"))
            usual = {"messages": asked, "user_id": USER, "conversation_id": CONVERSATION}
            item = replace(item, **usual | MARKED[number])
        found.append(item)
    return found


def observed() -> list[ObservedTrace]:
    return [
        replace(item, selections=(DRAWN,) if number in {3, 6} else ()) for number, item in enumerate(scored(traces()))
    ]


@pytest.fixture
def engine(postgres_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A database in which the user's texts stand wherever the program copies them to, and a run that was given them."""
    engine = create_engine_for(postgres_url)
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    items = observed()
    written = checkpoint(items)
    vectors = Embedded("mini-1", np.ones((COUNT, 4), np.float16))
    event = Preference("p-1", traces()[0].timestamp, (Message("user", MARKER),), f"{MARKER}!", "no", trace_id="t-3")
    copied = replace(event, preference_id="p-2", chosen=QUOTED, trace_id=None)
    other = replace(event, preference_id="p-3", messages=(Message("user", "Q"),), chosen="A", trace_id="t-9")
    observation = replace(written.observed, entry=gather(items, vectors))
    preferences = [(one, "dataset=koala") for one in (event, copied, other)]
    store.write(replace(written, observed=observation, preferences=preferences))
    Controller(PostgresFoldStore(engine), rules_of(600)).tick()
    store_labels(engine, label(3), label(8))
    queue = queue_of(engine)
    queue.next_items("ann", limit=2)
    with engine.begin() as connection:
        item_id = connection.execute(text("select item_id from review_item where trace_id = 't-3'")).scalar_one()
    queue.answer("ann", AnswerGiven(item_id, Answer.LABEL, 1.0, note=f"it names {MARKER}"))
    run_of(engine, tmp_path / "runs" / "job-1")
    yield engine
    engine.dispose()


def run_of(engine: Engine, job: Path) -> None:
    """Give a run its pairs as the dispatcher does, and leave what a finished one leaves."""
    (job / "inputs").mkdir(parents=True)
    (job / "attempt-1" / "output" / "candidate").mkdir(parents=True)
    pairs = PostgresPreferences(engine).export(job / "inputs" / "preferences.jsonl", job / "inputs" / "card.json")
    page = f"<html><p>{for_html_lines(LONG)}</p></html>".encode()
    waiting = Part(kind=PartKind.CALL, trace="f1", span="1", user_id=USER, messages=(("user", MARKER),))
    late = Part(kind=PartKind.CONTENT, trace="f1", span="1", response=MARKER)
    foreign = Part(kind=PartKind.CALL, trace="f2", span="1", user_id="another", messages=(("user", "Q"),))
    with engine.begin() as connection:
        keep_set(connection, pairs, job / "inputs" / "card.json")
        connection.execute(
            text(
                "insert into job (action, state, reason, requested_by, attempt)"
                " values ('reward_refresh', 'failed_gate', 'test', 'olga', 1)"
            )
        )
        connection.execute(
            text("insert into job_report (job_id, sha256, page) values (1, 'x', :page)"), {"page": gzip.compress(page)}
        )
        for part in (waiting, late, foreign):
            values = {"trace": part.trace, "part": msgspec.msgpack.encode(part)}
            statement = (
                "insert into fragment (trace, topic, partition, record_offset, part) values (:trace, 'o', 0, 0, :part)"
            )
            connection.execute(text(statement), values)
    (job / "attempt-1" / "report.html").write_bytes(page)
    (job / "attempt-1" / "output" / "candidate" / "model.bin").write_bytes(b"weights")
    for name, said in (("replay", LONG), ("other", "nothing of theirs")):
        (job / "attempt-1" / "output" / f"{name}.jsonl").write_text(json.dumps({"rows": [{"content": said}]}) + "\n")


def erasing(engine: Engine, tmp_path: Path) -> Erasing:
    return Erasing.of(engine, RetrainSettings(folder=tmp_path / "runs"))


def holds(value: object) -> bool:
    if isinstance(value, bytes | memoryview):
        raw = bytes(value)
        return MARKER.encode() in raw or (raw[:2] == b"\x1f\x8b" and MARKER.encode() in gzip.decompress(raw))
    return MARKER in str(value)


def places_of_the_marker(engine: Engine) -> set[str]:
    """Search every column of every table of the database, compressed pages too."""
    found = set()
    with engine.connect() as connection:
        tables = connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars()
        for table in list(tables):
            for row in connection.execute(text(f'select * from "{table}"')).mappings():  # noqa: S608
                found |= {f"{table}.{name}" for name, value in row.items() if holds(value)}
    return {place for place in found if not place.startswith("trace_")}  # a partition's rows are its table's


def counts(engine: Engine) -> dict[str, int]:
    queries = {
        "traces": "select count(*) from trace",
        "entries": "select sum(places) from log_entry",
        "known": "select count(*) from stored_trace",
        "preferences": "select count(*) from preference",
        "labels": "select count(*) from label",
        "verdicts": "select count(*) from review_verdict",
        "totals": "select sum(value) from running_total",
        "errors": "select count(*) from trace where error is not null",
        "lengths": "select sum(output_tokens) from trace",
    }
    with engine.connect() as connection:
        return {name: int(connection.execute(text(query)).scalar_one() or 0) for name, query in queries.items()}


def test_after_an_erasure_no_table_holds_a_text_of_the_user_and_all_counts_stay(engine: Engine, tmp_path: Path) -> None:
    before = counts(engine)
    assert places_of_the_marker(engine) == {
        *("trace.messages", "trace.response", "trace.reference_response", "trace.error"),
        *("trace.user_id", "trace.conversation_id", "baseline_trace.user_id", "baseline_trace.conversation_id"),
        *("baseline_trace.messages", "baseline_trace.response", "baseline_trace.reference_response"),
        *("preference_text.messages", "preference_text.response", "preference_text.reference_response"),
        *("preference_text.user_id", "preference_text.conversation_id", "preference.messages", "preference.chosen"),
        *("preference_pair.line", "review_verdict.note", "fragment.part", "job_report.page"),
    }

    done = erasing(engine, tmp_path).erase(GONE, actor=BY)

    assert places_of_the_marker(engine) == set()
    assert counts(engine) == before
    assert done.deleted["traces"] == len(MARKED)
    assert done.deleted["run_files"] == 3
    nothing = {name for name, count in done.deleted.items() if not count}
    assert nothing == {"review_items"}, "the one that was drawn is judged already"
    Controller(PostgresFoldStore(engine), rules_of(600)).tick()


def test_what_others_said_stays_and_so_does_what_a_run_made(engine: Engine, tmp_path: Path) -> None:
    erasing(engine, tmp_path).erase(GONE, actor=BY)
    with engine.connect() as connection:

        def number(query: str) -> int:
            return int(connection.execute(text(query)).scalar_one())

        assert number("select count(*) from trace where response is not null") == COUNT - len(MARKED)
        assert number("select count(*) from preference_text") == 1
        assert number("select count(*) from preference_pair") == 2
        assert number("select count(*) from preference where chosen <> ''") == 1
        assert number("select count(*) from fragment") == 1
        assert number("select count(*) from baseline_trace") == 600 - 3
        row = connection.execute(text("select subject_ids, covariates, covariates_version from log_subject")).one()
    known = Covariates.decode(bytes(row.covariates), row.covariates_version)
    assert known.embedding is not None
    own = [number in MARKED for number in range(COUNT)]
    assert np.array_equal(np.isnan(known.embedding).all(axis=1), own)
    assert np.array_equal(np.diff(known.sketch_starts) == 0, own)
    job = tmp_path / "runs" / "job-1"
    left = {path.relative_to(job).as_posix() for path in job.rglob("*") if path.is_file()}
    assert left == {"attempt-1/output/candidate/model.bin", "attempt-1/output/other.jsonl"}
    found = PostgresPreferences(engine).export(tmp_path / "pairs.jsonl", tmp_path / "card.json")
    assert found.rows == 2


def test_an_erased_trace_that_is_read_again_is_still_known(engine: Engine, tmp_path: Path) -> None:
    erasing(engine, tmp_path).erase(GONE, actor=BY)
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    assert store.known_traces([f"t-{number}" for number in MARKED]) == {f"t-{number}" for number in MARKED}


def test_of_an_erasure_a_record_and_a_row_of_the_audit_are_kept_and_no_name(engine: Engine, tmp_path: Path) -> None:
    done = erasing(engine, tmp_path).erase(GONE, actor=BY)
    [kept] = erasing(engine, tmp_path).erasures(limit=5)
    assert kept == done
    assert (kept.kind, kept.actor, kept.sha256) == ("user", "olga", sha256(USER.encode()).hexdigest())
    with engine.connect() as connection:
        row = connection.execute(text("select actor, action, subject, detail from audit where action = 'erase'")).one()
    assert (row.actor, row.subject, row.detail["sha256"]) == ("olga", "a user", kept.sha256)
    again = erasing(engine, tmp_path).erase(GONE, actor=BY)
    assert not any(again.deleted.values())


def test_a_conversation_takes_its_own_texts_alone(engine: Engine, tmp_path: Path) -> None:
    conversation = ErasureSubject(SubjectKind.CONVERSATION, CONVERSATION)
    done = erasing(engine, tmp_path).erase(conversation, actor=BY)
    assert done.deleted["traces"] == len(MARKED) - 1
    left = {"trace.messages", "trace.response", "trace.reference_response", "trace.user_id", "fragment.part"}
    assert places_of_the_marker(engine) - {"trace.reference_response"} == left - {"trace.reference_response"}


def test_copies_are_found_where_the_trace_itself_is_gone(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("delete from trace"))
    erasing(engine, tmp_path).erase(GONE, actor=BY)
    assert places_of_the_marker(engine) == set()


def test_nothing_is_erased_while_a_run_that_was_given_the_texts_goes_on(engine: Engine, tmp_path: Path) -> None:
    before = places_of_the_marker(engine)
    with engine.begin() as connection:
        connection.execute(text("update job set state = 'running'"))
    with pytest.raises(Conflict, match=r"a run that goes on was given these texts \(job-1\): cancel it"):
        erasing(engine, tmp_path).erase(GONE, actor=BY)
    assert places_of_the_marker(engine) == before
    assert (tmp_path / "runs" / "job-1" / "inputs" / "preferences.jsonl").exists()


def test_the_command_counts_first_asks_and_tells_what_it_cannot_reach(
    run: Run, engine: Engine, postgres_url: str, tmp_path: Path
) -> None:
    settings = {"POSTGRES__URL": postgres_url, "RETRAIN__FOLDER": str(tmp_path / "runs")}
    before = places_of_the_marker(engine)
    counted = run("erase", "--user", USER, "--dry-run", "--json", **settings)
    assert (counted.code, places_of_the_marker(engine)) == (0, before)
    done = run("erase", "--user", USER, "--yes", "--json")
    assert done.code == 0
    assert json.loads(counted.out)["deleted"] == json.loads(done.out)["deleted"]
    assert places_of_the_marker(engine) == set()
    listed = run("erase", "list")
    assert sha256(USER.encode()).hexdigest()[:16] in listed.out
    assert MARKER not in listed.out
    told = run("erase", "--user", "nobody", "--yes")
    assert "deleted nothing" in told.out
    assert "models that learnt from the texts" in told.err
    assert (run("erase").code, run("erase", "--user", "a", "--conversation", "b").code) == (2, 2)
