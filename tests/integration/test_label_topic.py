"""Labels from a real Kafka to a real PostgreSQL: in any order, twice, wrong, and across restarts."""

from __future__ import annotations

from random import Random

import pytest
from sqlalchemy import Engine

from monitor.domain.label import PREFERENCE
from monitor.labels.verdict import verdicts
from monitor.postgres.engine import transaction
from monitor.postgres.labels import PostgresLabels
from monitor.postgres.views.overview import PostgresOverview
from tests.labels import label, random_labels, wire
from tests.program import Site, running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
TRACES = ["t-0", "t-1", "t-2"]
BAD = [wire(label(1), value=7), wire(label(2), source="robot"), b"garbage"]


def test_labels_in_any_order_and_twice_come_to_the_same_verdicts_across_restarts(
    kafka: RealKafka, postgres_url: str, engine: Engine
) -> None:
    site = Site(kafka, postgres_url, batch_max_traces=50)
    site.send([line(trace(number)) for number in range(2)])  # t-2 never comes
    with running(site.settings()):  # nobody has made a topic of labels
        wait_for(lambda: site.count("stored_trace") == 2, "the traces")
    random = Random(3)
    given = random_labels(random, 300)
    records = [wire(item) for item in given]
    site.send([*records[:150], *BAD, *records[:100]], topic=site.labels)
    with running(site.settings()):
        wait_for(lambda: site.count("label") > 0, "the first labels")
    site.send([*records[150:], *records], topic=site.labels)
    read = 253 + 450
    offset = f"select next_offset from consumer_offset where topic = '{site.labels}'"  # noqa: S608
    with running(site.settings()):
        wait_for(lambda: site.query(offset) == [(read,)], "all labels")
    stored = {tuple(row) for row in site.query("select label_id, digest from label")}
    assert stored == {(item.label_id, item.digest()) for item in given}
    with transaction(engine) as connection:
        found = PostgresLabels(engine).verdicts(connection, PREFERENCE, TRACES)
    assert found == verdicts(given, PREFERENCE)
    overview = PostgresOverview(engine, kafka_lag=lambda: None).overview()
    assert (overview.labels, overview.traces) == (len(stored), 2)
    assert overview.dead_letters == {"not_json": 1, "number_out_of_range": 1, "unknown_word": 1}
