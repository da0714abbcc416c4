"""A topic's route says how its records are read; a record holds any number of things."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import ModuleType

import pytest
from prometheus_client import CollectorRegistry

from monitor.errors import InvalidSetting, InvalidTrace
from monitor.ingest import route
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.outcome import Carries, Format, Outcome, Skipped, SkipReason
from monitor.ingest.part import Part, PartKind
from monitor.ingest.record import Record
from monitor.ingest.route import Route, Router, routes_of
from monitor.pipeline.processor import PartitionCursor, RecordBatch
from monitor.settings.kafka import KafkaSettings, RouteSettings
from monitor.telemetry.metrics import Metrics
from tests.traces import line, trace
from tests.unit.memory import NOW, Bench, ScriptedSource

LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366))
PREFERENCE = (
    b'{"preference_id": "p-1", "timestamp": "2025-03-01T05:00:00Z", "messages": [{"role": "user", "content": "Q"}],'
    b' "chosen": "A", "rejected": "B"}'
)


def decode_words(record: Record, _limits: DecodeLimits, _now: datetime) -> Iterator[Outcome]:
    """A format of one word a piece; a header may say that nothing of it is ours."""
    if ("foreign", b"yes") in record.headers:
        return
    for number, word in enumerate((record.value or b"").decode().split()):
        pieces: dict[str, Outcome] = {
            "good": trace(record.offset * 10 + number),
            "bad": InvalidTrace("wrong_type", "a word"),
            "other": Skipped(SkipReason.OTHER_SPAN),
            "part": Part(kind=PartKind.CONTENT, trace="t", span="1", response="half"),
        }
        yield pieces[word]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Route:
    """A topic in a format of the test's own: one module, and one line in the table."""
    module = ModuleType("tests_words_format")
    module.FORMAT = Format({Carries.TRACES: decode_words})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(route.FORMATS, "words", module.__name__)
    return Route("words", Carries.TRACES, "words")


def record(value: bytes, offset: int = 0, *, topic: str = "words", **headers: bytes) -> Record:
    return Record(topic, 0, offset, None, value, tuple(headers.items()))


def test_a_record_yields_any_number_of_outcomes_and_each_keeps_the_record_it_came_from(words: Route) -> None:
    records = [
        record(b"good other good part", 0),
        record(b"bad good bad", 1),
        record(b"good", 2, foreign=b"yes"),
        record(b"", 3),
    ]
    batch = Router([words], LIMITS).decode(records, NOW)
    assert [(found.trace_id, source.offset) for found, source in batch.traces] == [("t-0", 0), ("t-2", 0), ("t-11", 1)]
    assert [(rejected.record.offset, rejected.invalid.reason) for rejected in batch.rejected] == [(1, "wrong_type")]
    assert [(part.call_id, source.offset) for part, source in batch.parts] == [("t-1", 0)]
    assert batch.skipped == {SkipReason.OTHER_SPAN: 1}


def test_the_settings_of_old_are_routes_beside_the_new_ones() -> None:
    settings = KafkaSettings(
        trace_topics=("a", "b"),
        preference_topic="c",
        label_topic="l",
        routes=(RouteSettings(topic="d"), RouteSettings(topic="e", carries="preferences")),
    )
    assert routes_of(settings) == (
        Route("a", Carries.TRACES, "auto"),
        Route("b", Carries.TRACES, "auto"),
        Route("c", Carries.PREFERENCES, "native"),
        Route("l", Carries.LABELS, "native"),
        Route("d", Carries.TRACES, "auto"),
        Route("e", Carries.PREFERENCES, "auto"),
    )
    batch = Router(routes_of(settings), LIMITS).decode(
        [record(line(trace(0)), topic="d"), record(PREFERENCE, topic="e"), record(PREFERENCE, topic="b")], NOW
    )
    assert [source.topic for _, source in batch.traces] == ["d"]
    assert [source.topic for _, source in batch.preferences] == ["e"]
    assert [rejected.record.topic for rejected in batch.rejected] == ["b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Route("t", Carries.TRACES, "otpl"), "the topic 't' names the format 'otpl'; known are auto, native"),
        (
            Route("words", Carries.PREFERENCES, "words"),
            "the topic 'words' carries preferences; the format 'words' knows traces",
        ),
    ],
    ids=["a format nobody knows", "a format that does not carry it"],
)
def test_a_route_that_cannot_be_is_a_wrong_setting(words: Route, given: Route, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Router([words, given], LIMITS)


def test_a_topic_in_a_route_and_in_another_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="the topic 'traces' is named twice"):
        KafkaSettings(routes=(RouteSettings(topic="traces"),))


def test_a_bad_preference_event_is_counted_as_a_preference() -> None:
    registry, bench = CollectorRegistry(), Bench(ScriptedSource({}))
    bench.store.offsets = {("preferences", 0): 0, ("traces", 0): 0}
    records = [
        record(b"{", 0, topic="preferences"),
        record(PREFERENCE, 1, topic="preferences"),
        record(b"{", 0, topic="traces"),
    ]
    cursors = {partition: PartitionCursor(0) for partition in bench.store.offsets}
    bench.processor(Metrics(registry)).process(RecordBatch(records, cursors))
    counted = {
        (name, outcome): registry.get_sample_value(f"monitor_{name}_total", {"outcome": outcome})
        for name in ("traces", "preferences")
        for outcome in ("counted", "invalid")
    }
    assert counted == {
        ("traces", "counted"): 0.0,
        ("traces", "invalid"): 1.0,
        ("preferences", "counted"): 1.0,
        ("preferences", "invalid"): 1.0,
    }
