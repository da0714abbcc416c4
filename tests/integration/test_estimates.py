"""What labels tell, read from a real PostgreSQL."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from sqlalchemy import Engine, text

from monitor.domain.label import PREFERENCE, LabelSource
from monitor.domain.review import Selection
from monitor.domain.score import Opinion
from monitor.domain.text import visible
from monitor.ingest.offset import StoredOffset
from monitor.labels.block import BlockRule
from monitor.labels.estimate import Estimate, EstimateRule
from monitor.labels.item import Sampling
from monitor.labels.keeper import BlockKeeper
from monitor.labels.report import RECENT, EstimateReports, LabelReport, LabelUse, use_of
from monitor.postgres.blocks import PostgresBlocks
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import transaction
from monitor.postgres.estimates import PostgresEstimates
from monitor.postgres.labels import insert_labels
from monitor.postgres.streams import PostgresFoldStore
from monitor.review.criteria import DEFAULT
from monitor.signals.estimand import WIN_RATE
from tests.commands import Run
from tests.hostile import LABELS, unseen
from tests.labels import label
from tests.settled import evidence, settle
from tests.traces import checkpoint, scored, trace

pytestmark = pytest.mark.postgres
LATER = timedelta(days=30)


def store_of(engine: Engine, **rule: Any) -> PostgresEstimates:
    return PostgresEstimates(engine, BlockRule(**rule))


def test_what_was_settled_is_read_as_it_was_written(engine: Engine) -> None:
    items, sums = evidence(days=2)
    with transaction(engine) as connection:
        settle(connection, items, sums)
    found = store_of(engine).evidence(WIN_RATE, recent=RECENT)
    assert sorted(found.items, key=lambda item: item.trace_id) == sorted(items, key=lambda item: item.trace_id)
    assert list(found.sums) == sums
    last = store_of(engine).evidence(WIN_RATE, recent=RECENT, days=1)
    assert {item.timestamp.date() for item in last.items} == {sums[-1].day}
    assert (found.blocks.matured, found.blocks.dropped, found.blocks.waiting) == (items[-1].number, 0, 0)


def test_a_label_that_is_corrected_or_withdrawn_after_its_block_was_settled_counts_as_it_stands(engine: Engine) -> None:
    items, sums = evidence(days=1)
    first, second, third, fourth = items[:4]
    with transaction(engine) as connection:
        settle(connection, items, sums)
    before = store_of(engine).mark(WIN_RATE)
    given = {"criteria_version": "c-1", "timestamp": items[0].timestamp + LATER}
    corrections = [
        label(1, trace_id=first.trace_id, annotator_id="ada", value=1.0 - (first.value or 0.0), **given),
        label(2, trace_id=second.trace_id, annotator_id="bo", value=0.5, **given),
        label(3, trace_id=third.trace_id, annotator_id="bo", value=0.5, **(given | {"criteria_version": "c-2"})),
        label(4, trace_id=third.trace_id, annotator_id="bo", value=0.5, source=LabelSource.USER, **given),
    ]
    with transaction(engine) as connection:
        insert_labels(connection, corrections)
        withdraw = text("update label set withdrawn_at = now() where trace_id = :trace_id")
        connection.execute(withdraw, {"trace_id": fourth.trace_id})
    assert store_of(engine).mark(WIN_RATE) != before
    found = {item.trace_id: item for item in store_of(engine).evidence(WIN_RATE, recent=RECENT).items}
    assert found[first.trace_id].value == 1.0 - (first.value or 0.0)
    assert (found[second.trace_id].value, found[second.trace_id].annotators) == (0.25 + (second.value or 0.0) / 2, 2)
    assert found[third.trace_id] == third
    assert found[fourth.trace_id].value is None
    changed = {item.trace_id for item in (first, second, fourth)}
    assert {item.trace_id for item in found.values() if item not in items} == changed


WORLD = """
insert into log_entry (entry_id, source, places, sequence, first_place) values (900, 'traces', 200, 1, 0);
insert into stored_trace select 't-' || i, 900, i, current_date from generate_series(0, 199) i;
insert into label_block (estimand, number, first_place, stop_place, cut_at, criteria_version, outcome, settled_at)
  values ('win_rate', 1, 0, 64, now() - interval '3 days', 'c-1', 'matured', now() - interval '2 hours'),
         ('win_rate', 2, 64, 128, now() - interval '2 days', 'c-1', 'missing', now() - interval '1 hour'),
         ('win_rate', 3, 128, 192, now() - interval '1 day', 'c-1', null, null);
insert into review_item (trace_id, kind, probability, counted, reason, wanted)
  select 't-' || i, 'preference', 0.1, i <> 3, 'floor', 1 from generate_series(0, 199) i where i not in (2);
insert into label_item (estimand, trace_id, number, timestamp, policy_model, cohort, scorer_version, criteria_version,
  prediction, probability, value, annotators) values ('win_rate', 't-0', 1, now(), 'm', 'c', '', 'c-1', .5, .1, 1, 1);
"""


def test_the_command_shows_each_cohort_with_what_is_known_of_it(run: Run, postgres_url: str, engine: Engine) -> None:
    hostile = LABELS["terminal sequences"]
    many, few = evidence(), evidence(days=1, share=0.05, cohort=hostile)
    with transaction(engine) as connection:
        settle(connection, [*many[0], *few[0]], [*many[1], *few[1]])
    done = run("winrate", POSTGRES__URL=postgres_url)
    assert (done.code, unseen(done.out)) == (0, [])
    assert visible(hostile)[:14] in done.out  # the cell is cut
    assert f"{len(few[0])} labels" in done.out
    assert "labels of the last seven days" in done.out
    rows = json.loads(run("winrate", "--json", "--cohort", "*", "--window", "week").out)[0]["estimates"]
    [row] = [row for row in rows if row["signal"] == "win_rate"]
    assert row["bounds"]["lower"] < 0.4 < row["bounds"]["upper"]
    assert row["anytime"]["lower"] <= row["bounds"]["lower"]
    assert row["opinion"] > row["bounds"]["upper"]  # its reward models flatter
    nowhere = run("winrate", "--cohort", "moon")
    assert (nowhere.code, unseen(nowhere.err)) == (2, [])
    assert "no row is of that cohort, policy model and window; cohorts: " in nowhere.err
    told = run("winrate", "--signal", "mood")
    assert (told.code, "labels do not tell it; name one of win_rate, refusal_rate" in told.err) == (2, True)


def test_the_command_says_what_a_win_rate_takes_where_there_is_none(run: Run, postgres_url: str) -> None:
    done = run("winrate", POSTGRES__URL=postgres_url)
    assert (done.code, done.out.startswith("no win_rate yet: it takes blocks")) == (0, True)


def test_drawn_traces_and_their_labels_become_a_win_rate(engine: Engine) -> None:
    random, share = np.random.default_rng(1), 0.25
    wins, drawn = random.random(640) < 0.4, random.random(640) < share
    store = PostgresCheckpoints(engine, group_id="g", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    items = [
        structs.replace(
            item,
            selections=(Selection(PREFERENCE, share, share, selected=bool(chosen)),),
            opinion=Opinion("e-1", 0.7 if won else 0.4),
        )
        for item, won, chosen in zip(scored([trace(number) for number in range(640)]), wins, drawn, strict=True)
    ]
    store.write(checkpoint(items))
    PostgresFoldStore(engine).place_entries()
    chosen = [(item.trace.trace_id, won) for item, won, named in zip(items, wins, drawn, strict=True) if named]
    given = [
        label(number, trace_id=trace_id, value=float(won), annotator_id="ada", criteria_version=DEFAULT.version)
        for number, (trace_id, won) in enumerate(chosen)
    ]
    with transaction(engine) as connection:
        insert_labels(connection, given[:-1])
    keeper = BlockKeeper(PostgresBlocks(engine), BlockRule())
    reports = EstimateReports(store_of(engine), EstimateRule(), Sampling.REVIEW, clock=lambda: 0.0)

    def told() -> tuple[LabelReport, Estimate]:
        while keeper.turn():
            pass
        [report] = reports.reports(signal="win_rate")
        return report, report.only(window="week", cohort="*").estimates[0]

    report, row = told()
    assert (row.traces, report.blocks.matured, report.blocks.waiting) == (576, 9, 1)
    with transaction(engine) as connection:
        insert_labels(connection, given[-1:])
    report, row = told()
    assert (row.traces, row.labels, report.blocks.waiting) == (640, len(given), 0)
    assert report.labels == {LabelUse.COUNTED: len(given)}
    assert row.bounds is not None
    assert row.classical is not None
    assert row.bounds.lower < wins.mean() < row.bounds.upper
    assert row.bounds.upper - row.bounds.lower < 0.6 * (row.classical.upper - row.classical.lower)
    assert row.effective_labels is not None
    assert row.effective_labels > 2 * row.labels


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], LabelUse]] = {
    "its trace is in a settled block": ({}, {}, LabelUse.COUNTED),
    "its block waits for others": ({"trace_id": "t-130"}, {}, LabelUse.WAITING),
    "its trace is in no block yet": ({"trace_id": "t-195"}, {}, LabelUse.WAITING),
    "the queue did not draw its trace": ({"trace_id": "t-2"}, {}, LabelUse.NOT_SELECTED),
    "its trace is an alarm's example": ({"trace_id": "t-3"}, {}, LabelUse.NOT_SELECTED),
    "its trace is not stored": ({"trace_id": "gone"}, {}, LabelUse.NO_TRACE),
    "its block was dropped before it came": ({"trace_id": "t-70"}, {}, LabelUse.LATE),
    "another label of its block never came": ({"trace_id": "t-70", "ago": 90}, {}, LabelUse.BLOCK_DROPPED),
    "it was given by other criteria": ({"criteria_version": "c-2", "trace_id": "t-195"}, {}, LabelUse.OTHER_CRITERIA),
    "it states no criteria": ({"criteria_version": None}, {}, LabelUse.COUNTED),
    "a user gave it": ({"source": LabelSource.USER}, {}, LabelUse.USER),
    "a model gave it": ({"source": LabelSource.AI}, {}, LabelUse.AI),
    "it states no probability": ({"trace_id": "t-130"}, {"sampling": Sampling.STATED}, LabelUse.NO_PROBABILITY),
    "it states too small a one": (
        {"trace_id": "t-130", "inclusion_probability": 0.001},
        {"sampling": Sampling.STATED},
        LabelUse.SMALL_PROBABILITY,
    ),
    "its trace may not be labelled": (
        {"trace_id": "t-2", "inclusion_probability": 0.1, "ago": 180},
        {"sampling": Sampling.STATED},
        LabelUse.NOT_ELIGIBLE,
    ),
}


def test_what_becomes_of_a_label_is_told(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text(WORLD))
    told = {}
    for name, (changes, rule, _) in CASES.items():
        changed = {"ago": 5, **changes}
        minutes = changed.pop("ago")
        with transaction(engine) as connection:
            connection.execute(text("delete from label"))
            insert_labels(connection, [label(1, **changed)])
            given = "update label set received_at = now() - make_interval(mins => :minutes)"
            connection.execute(text(given), {"minutes": minutes})
        found = store_of(engine, criteria_version="c-1", **rule).evidence(WIN_RATE, recent=RECENT)
        sampling = rule.get("sampling", Sampling.REVIEW)
        told[name] = [(use_of(facts, sampling), facts.labels) for facts in found.facts]
    assert told == {name: [(use, 1)] for name, (_, _, use) in CASES.items()}
    assert (found.blocks.matured, found.blocks.dropped, found.blocks.waiting) == (1, 1, 1)
    assert found.blocks.waiting_since is not None
