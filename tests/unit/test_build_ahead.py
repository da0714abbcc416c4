"""Batches with parts of calls: built while the batch before is stored, unless they go on with its requests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from monitor.errors import Unavailable
from monitor.ingest.record import Record
from monitor.pipeline.processor import PartitionCursor, PreparedBatch, Processor, RecordBatch
from monitor.telemetry.metrics import Metrics
from tests.parts import SECOND, START_NS
from tests.unit.memory import Bench, InMemoryCheckpoints, ScriptedSource

WAIT_SECONDS = 10.0
TOPIC = ("traces", 0)
ANSWER = [{"role": "assistant", "parts": [{"type": "text", "content": "A."}], "finish_reason": "stop"}]
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Q?"}]}]
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "phi-2",
    "gen_ai.input.messages": msgspec.json.encode(ASKED).decode(),
    "gen_ai.output.messages": msgspec.json.encode(ANSWER).decode(),
}


def span(request: int, name: int, attributes: dict[str, str], parent: int | None = None) -> dict[str, Any]:
    found = {
        "traceId": f"{request:032x}",
        "spanId": f"{name:016x}",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + SECOND),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }
    return found if parent is None else found | {"parentSpanId": f"{parent:016x}"}


def call(request: int, **asker: str) -> list[dict[str, Any]]:
    """Return the spans of a request: its own, and its call of a model."""
    return [span(request, 1, {"session.id": f"s-{request}"} | asker), span(request, 2, CALL, parent=1)]


def processor_of(bench: Bench) -> Processor:
    bench.store.offsets = {TOPIC: 0}
    return bench.processor(Metrics(CollectorRegistry()))


def batches(*records: list[dict[str, Any]]) -> list[RecordBatch]:
    """Return a batch a record, all under one assignment."""
    cursor = PartitionCursor(0)
    values = [msgspec.json.encode({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) for spans in records]
    return [RecordBatch([Record(*TOPIC, place, None, value)], {TOPIC: cursor}) for place, value in enumerate(values)]


def conversations(bench: Bench) -> list[str | None]:
    return [item.trace.conversation_id for written in bench.store.written for item in written.observed.traces]


def finish(processor: Processor, first: PreparedBatch, second: PreparedBatch) -> None:
    """Store both as a worker does, whose reader builds the second in a thread of its own."""
    reader = threading.Thread(target=processor.build_next, args=[second])
    reader.start()
    processor.store_batch(first)
    reader.join(WAIT_SECONDS)
    assert not reader.is_alive()
    assert second.checkpoint is not None
    processor.store_batch(second)


def test_calls_of_other_requests_are_built_while_the_batch_before_is_stored() -> None:
    bench = Bench(ScriptedSource({}))
    processor = processor_of(bench)
    first, second = map(processor.prepare, batches(call(1), [*call(2), *call(3)]))
    assert second.checkpoint is not None
    processor.store_batch(first)
    processor.store_batch(second)
    assert second.is_kept
    assert conversations(bench) == ["s-1", "s-2", "s-3"]


def test_a_part_waits_for_what_is_being_stored_of_its_request() -> None:
    bench = Bench(ScriptedSource({}))
    processor = processor_of(bench)
    asker, model = call(1)
    first, second = map(processor.prepare, batches([*call(2), asker], [*call(3), model]))
    assert second.checkpoint is None
    assert second.awaited() is first.is_done
    finish(processor, first, second)
    assert second.is_kept
    assert conversations(bench) == ["s-2", "s-1", "s-3"]


def test_where_one_batch_could_not_be_built_ahead_the_next_is_as_soon_as_that_one_is_built() -> None:
    class Away(InMemoryCheckpoints):
        is_away = True

        def known_traces(self, trace_ids: Sequence[str]) -> set[str]:
            if self.is_away:
                raise Unavailable("the store is away")
            return super().known_traces(trace_ids)

    store = Away()
    bench = Bench(ScriptedSource({}), store=store)
    processor = processor_of(bench)
    first, second = map(processor.prepare, batches(call(1), call(2)))
    assert first.checkpoint is second.checkpoint is None
    assert second.awaited() is first.is_built
    store.is_away = False
    finish(processor, first, second)
    assert second.is_kept
    assert conversations(bench) == ["s-1", "s-2"]


def test_the_end_lets_go_of_a_batch_that_waits() -> None:
    processor = processor_of(Bench(ScriptedSource({})))
    asker, model = call(1)
    _, second = map(processor.prepare, batches([asker], [model]))
    reader = threading.Thread(target=processor.build_next, args=[second])
    reader.start()
    processor.stop.set()
    reader.join(WAIT_SECONDS)
    assert not reader.is_alive()
    assert second.checkpoint is None
