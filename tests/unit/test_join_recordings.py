"""What real producers wrote gives the ten scripted calls, in whatever order its records and spans arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import permutations
from random import Random

import pytest

from monitor.domain.trace import Message, Trace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.otlp import decode
from monitor.ingest.join_call import Held
from monitor.ingest.part import Part
from tests.joining import RULES, Replay
from tests.parts import NOW
from tests.recordings import OTLP, recorded, script

LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=10_000))
producers = pytest.mark.parametrize("name", OTLP)
encodings = pytest.mark.parametrize("json_encoded", [False, True], ids=["protobuf", "json"])


def records_of(name: str, *, json_encoded: bool) -> list[list[Held]]:
    found = recorded(name, json_encoded=json_encoded)
    return [
        [Held(part, (record.topic, 0, record.offset)) for part in decode(record, LIMITS, NOW) if isinstance(part, Part)]
        for record in found
    ]


def joined(records: Iterable[Sequence[Held]]) -> dict[str, Trace]:
    replay = Replay(type(RULES)(LIMITS))
    for record in records:
        replay.take(record)
    replay.end()
    assert not replay.waiting
    return replay.traces


def check(traces: dict[str, Trace], name: str) -> None:
    found = sorted(traces.values(), key=lambda trace: trace.timestamp)
    assert len(found) == 10
    for trace, call in zip(found, script(), strict=True):
        assert (trace.error is not None) == call.failed
        if name == "otel_latest_none":
            assert (trace.messages, trace.response) == ((), None)
        else:
            assert trace.messages == tuple(Message(*message) for message in call.messages)
            assert trace.response == call.response
        if not call.failed:
            assert (trace.input_tokens, trace.output_tokens) == (call.input_tokens, call.output_tokens)


@producers
@encodings
def test_any_order_of_a_files_records_gives_the_ten_calls_each_once(name: str, json_encoded: bool) -> None:
    records = records_of(name, json_encoded=json_encoded)
    for order in permutations(records):
        check(joined(order), name)


@producers
@encodings
def test_every_span_and_log_record_in_a_record_of_its_own_gives_the_same_traces(name: str, json_encoded: bool) -> None:
    records = records_of(name, json_encoded=json_encoded)
    expected = joined([[part for record in records for part in record]])
    check(expected, name)
    alone = [
        [Held(item.part, (item.position[0], 1, number))]
        for number, item in enumerate(part for record in records for part in record)
    ]
    for seed in range(20):
        Random(seed).shuffle(alone)
        assert joined(alone) == expected


@producers
def test_sessions_and_users_come_from_the_span_that_tells_them(name: str) -> None:
    traces = joined(records_of(name, json_encoded=False)).values()
    if not name.startswith("litellm"):  # their calls are roots
        assert all(trace.conversation_id and trace.user_id for trace in traces)
