"""Labels from Kafka and the API to estimates: in any order, twice and under kills, as an undisturbed run has them.

Each trace stands in the block in which it would stand anyway: blocks follow the order of the topic's one partition. Its
place in the log may differ, since settled blocks stand there too; so nothing is compared that is counted in places.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql

from monitor.app.estimates import estimates_of
from monitor.demo.models import build_tiny_base
from monitor.demo.postgres import EmbeddedPostgres
from monitor.domain.label import PREFERENCE, Label, LabelSource
from monitor.domain.review import SelectionPlan, drawing_key
from monitor.observe.selection import SelectionRule
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.labels import ReviewSettings
from monitor.signals.estimand import REWARD_ACCURACY, WIN_RATE, WIN_RATE_LC
from tests.blocks import told_in
from tests.labels import wire
from tests.ports import free_port
from tests.program import Program, Site, running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import START, line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
WORDS = ("yes", "no", "of", "course", "the", "answer", "one", "may", "ask", "again", "tomorrow")
BLOCK, SHARE, CRITERIA = 20, 0.3, "c-1"
TRACES = [
    trace(
        number,
        response=" ".join(Random(number).choices(WORDS, k=4 + number % 9)),
        reference_response=None if number % 10 == 9 else " ".join(Random(-number).choices(WORDS, k=6)),
    )
    for number in range(600)
]
ELIGIBLE = [item for item in TRACES if item.reference_response is not None]
BLOCKS = len(ELIGIBLE) // BLOCK
RULE = SelectionRule(
    drawing_key(ReviewSettings().key.get_secret_value()), overlap=2, overlap_ratio=0.2,
    plan=lambda: SelectionPlan(least=SHARE, disputed=SHARE),
)  # fmt: skip
TABLES = {
    "label": "select label_id, encode(digest, 'hex'), timestamp, trace_id, annotator_id, kind, value, source from label"
    " order by 1, 2",
    "review_item": "select trace_id, kind, probability, reason, wanted, state from review_item where counted"
    " order by 1",
    "label_block": "select number, outcome, items, labelled, missing, criteria_version from label_block order by 1",
    "label_item": "select trace_id, number, timestamp, cohort, scorer_version, cheap, prediction, probability, value,"
    " annotators, labelled_at from label_item order by 1",
    "estimate_day": "select day, cohort, criteria_version, scorer_version, items, cheap_sum, cheap_square_sum,"
    " prediction_sum, prediction_square_sum, gap_sum from estimate_day order by 1, 2, 3, 4",
}


@dataclass(frozen=True)
class LabelledSite(Site):
    """A site whose queue draws three traces in ten, and which answers its API on one port whoever is started."""

    port: int = 0

    def form(self) -> dict[str, dict[str, Any]]:
        labels = {"block_traces": BLOCK, "criteria_version": CRITERIA, "min_labels": 30}
        review = {"floor_ratio": SHARE, "disputed_ratio": SHARE, "overlap_ratio": 0.2, "daily_budget": 10**9}
        return super().form() | {"labels": labels, "review": review, "web": {"port": self.port}}

    def post(self, labels: Sequence[Label]) -> None:
        """Send a batch as a client does: again and again, until there is an answer."""
        body = b'{"labels": [' + b", ".join(map(wire, labels)) + b"]}"
        headers = {"Content-Type": "application/json", "X-Requested-With": "rlhf-monitor"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/labels", body, headers)
        wait_for(lambda: answered(request), "an answer")

    def settled(self) -> bool:
        """Whether all blocks are settled, and what they wrote has its place in the log."""
        blocks = "select count(*) from label_block where outcome is not null"
        unplaced = "select count(*) from log_entry where sequence is null"
        return self.query(f"select ({blocks}), ({unplaced})") == [(BLOCKS, 0)]


def answered(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return len(json.loads(answer.read())) > 0
    except (URLError, ConnectionError, TimeoutError):
        return False


def labels() -> tuple[list[Label], list[Label]]:
    """Return what comes by the topic and by the API; of one annotator's, the last word on a trace first."""
    topic: list[Label] = []
    api: list[Label] = []
    drawn = RULE.select(TRACES, [False] * len(TRACES), [None] * len(TRACES))
    for number, (item, selections) in enumerate(zip(TRACES, drawn, strict=True)):
        usual = Label(
            f"l-{number}", START + timedelta(days=3, seconds=number), item.trace_id, PREFERENCE, (number % 3) / 2.0,
            "ada", CRITERIA,
        )  # fmt: skip
        way = topic if number % 3 else api
        for chosen in selections:
            if not chosen.selected:
                continue
            way.append(usual)
            earlier = usual.timestamp - timedelta(hours=1)
            if number % 5 == 0:
                way.append(replace(usual, label_id=f"first-{number}", timestamp=earlier, value=0.25))
            if number % 5 == 1:
                way.append(replace(usual, timestamp=earlier, value=0.25))
            if chosen.wanted == 2:
                other = topic if way is api else api
                other.append(replace(usual, label_id=f"bo-{number}", annotator_id="bo", value=1.0))
        if number % 7 == 0:
            way.append(replace(usual, label_id=f"thumb-{number}", source=LabelSource.USER, value=1.0))
        if number % 11 == 0:
            way.append(replace(usual, label_id=f"stray-{number}", trace_id=f"unknown-{number}"))
    return topic, api


def shuffled(given: Sequence[Label], seed: int) -> list[Label]:
    """Return *given* in another order, but for what one annotator says of one trace."""
    groups: dict[tuple[str, str | None], list[Label]] = {}
    for label in given:
        groups.setdefault((label.trace_id, label.annotator_id), []).append(label)
    order = list(groups)
    Random(seed).shuffle(order)
    return [label for key in order for label in groups[key]]


def final(site: Site) -> dict[str, Any]:
    """Return the tables, what the log says, and the estimates; nothing that tells places or times of writing."""
    engine = create_engine_for(site.postgres_url)
    try:
        told = told_in(PostgresFoldStore(engine))
        reports = estimates_of(engine, site.settings()).reports()
    finally:
        engine.dispose()
    found: dict[str, Any] = {name: site.query(query) for name, query in TABLES.items()}
    found["log"] = sorted((*series[::2], *row) for series, rows in told.items() for row in rows)
    found["estimates"] = [
        (row.signal, row.cohort, row.span.name, row.traces, row.labels, row.missing, row.estimate, *bounds)
        for report in reports
        for row in report.estimates
        for bounds in [[part for pair in (row.bounds, row.anytime, row.classical) if pair for part in spread(pair)]]
    ]
    return found


def spread(bounds: Any) -> tuple[float, float]:
    return bounds.lower, bounds.upper


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare all, numbers as far as a batch of other traces changes the reward model's arithmetic."""
    for name, rows in wanted.items():
        assert [plain(row) for row in found[name]] == [plain(row) for row in rows], name
        mine, others = (
            np.array([x for row in given for x in row if isinstance(x, float)]) for given in (found[name], rows)
        )
        assert mine == pytest.approx(others, abs=1e-4), name


def plain(row: Sequence[object]) -> list[object]:
    return ["a number" if isinstance(part, float) else part for part in row]


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "member"
    build_tiny_base(folder, [item.response or "" for item in TRACES], seed=1)
    return folder


@pytest.fixture(scope="module")
def new_database(postgres: EmbeddedPostgres, _migrated_template: str) -> str:
    name = f"undisturbed_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        parts = sql.Identifier(name), sql.Identifier(_migrated_template)
        connection.execute(sql.SQL("create database {} template {}").format(*parts))
    return postgres.database_url(name)


@pytest.fixture(scope="module")
def undisturbed(kafka: RealKafka, new_database: str, member: Path) -> dict[str, Any]:
    site = LabelledSite(kafka, new_database, baseline_traces=200, reward_model=member, port=free_port())
    topic, api = labels()
    site.send([line(item, reference_response=item.reference_response) for item in TRACES])
    with running(site.settings()):
        wait_for(lambda: site.count("trace") == len(TRACES), "the traces")
        site.send([wire(label) for label in topic], topic=site.labels)
        site.post(api)
        wait_for(site.settled, "the blocks")
    tables = final(site)
    assert {row[1] for row in tables["label_block"]} == {"matured"}
    assert {row[0] for row in tables["log"]} >= {
        WIN_RATE.name,
        WIN_RATE.rectifier,
        WIN_RATE_LC.name,
        REWARD_ACCURACY.name,
    }
    assert next(row for row in tables["estimates"] if row[:3] == (WIN_RATE.name, "*", "release"))[6] is not None
    return tables


def test_labels_out_of_order_under_kills_leave_the_tables_and_estimates_of_an_undisturbed_run(
    kafka: RealKafka, postgres_url: str, undisturbed: dict[str, Any], member: Path, tmp_path: Path
) -> None:
    site = LabelledSite(kafka, postgres_url, baseline_traces=200, reward_model=member, port=free_port())
    topic, api = (shuffled(given, seed) for seed, given in enumerate(labels()))
    half = len(topic) // 2
    site.send([wire(label) for label in topic[:half]], topic=site.labels)
    lines = [line(item, reference_response=item.reference_response) for item in TRACES]
    with Program(site, tmp_path) as program:
        wait_for(lambda: site.count("label") > 0, "labels before any trace")
        site.send(lines)
        wait_for(lambda: site.count("trace") > 0, "the first traces", pause_seconds=0.005)
        program.kill()
        assert site.count("trace") < len(TRACES)
        site.send([*(wire(label) for label in topic[half:]), *(wire(label) for label in topic)], topic=site.labels)
        program.start()
        site.post(api[: len(api) // 2])
        site.post(api)
        wait_for(lambda: site.count("label_item") > 0, "the first settled block", pause_seconds=0.005)
        program.kill()
        program.start()
        site.post(api)
        wait_for(site.settled, "the blocks")
        wait_for(lambda: read(site) == 2 * len(topic), "the labels that came twice")
        program.check()
    assert_same(final(site), undisturbed)


def read(site: Site) -> int:
    rows = site.query(f"select next_offset from consumer_offset where topic = '{site.labels}'")  # noqa: S608
    return int(rows[0][0]) if rows else 0
