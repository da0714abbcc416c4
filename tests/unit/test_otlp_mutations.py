"""Whatever bytes a record holds, it is accounted for, and what is read of it can be kept."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from monitor.domain.label import Label
from monitor.errors import InvalidTrace
from monitor.ingest.decode import Reason, check_part
from monitor.ingest.formats.genai_chat import Chat, load, mend
from monitor.ingest.outcome import Skipped
from monitor.ingest.part import Part
from monitor.ingest.record import Record
from tests.mutations import mutated
from tests.otlp import LIMITS, outcomes
from tests.recordings import OTLP, recorded

MUTATIONS = 10_000


def single_protobuf(record: Record) -> list[bytes]:
    """Return the spans or log records of *record*, each in an export of its own."""
    assert record.value is not None
    found: list[bytes] = []
    if "logs" in record.topic:
        for group in ExportLogsServiceRequest.FromString(record.value).resource_logs:
            for scope in group.scope_logs:
                for line in scope.log_records:
                    scoped = ScopeLogs(scope=scope.scope, log_records=[line])
                    one = ResourceLogs(resource=group.resource, scope_logs=[scoped])
                    found.append(ExportLogsServiceRequest(resource_logs=[one]).SerializeToString())
        return found
    for spans in ExportTraceServiceRequest.FromString(record.value).resource_spans:
        for inner in spans.scope_spans:
            for span in inner.spans:
                each = ResourceSpans(resource=spans.resource, scope_spans=[ScopeSpans(scope=inner.scope, spans=[span])])
                found.append(ExportTraceServiceRequest(resource_spans=[each]).SerializeToString())
    return found


def single_json(record: Record) -> list[bytes]:
    """Return the same of JSON."""
    assert record.value is not None
    names = (
        ("resourceLogs", "scopeLogs", "logRecords")
        if "logs" in record.topic
        else ("resourceSpans", "scopeSpans", "spans")
    )
    outer, middle, inner = names
    return [
        json.dumps({outer: [group | {middle: [scope | {inner: [each]}]}]}).encode()
        for group in json.loads(record.value)[outer]
        for scope in group[middle]
        for each in scope[inner]
    ]


@pytest.mark.parametrize("json_encoded", [False, True], ids=["protobuf", "json"])
def test_no_mutation_of_valid_bytes_raises_and_each_is_accounted_for(json_encoded: bool) -> None:
    single = single_json if json_encoded else single_protobuf
    records = [record for name in OTLP for record in recorded(name, json_encoded=json_encoded)]
    samples = [each for record in records for each in single(record)]
    seen: Counter[Any] = Counter()
    for value in mutated(samples, MUTATIONS, seed=10):
        found = outcomes(value)
        assert found
        for outcome in found:
            assert isinstance(outcome, Part | Skipped | InvalidTrace | Label)
            seen[type(outcome)] += 1
            if isinstance(outcome, InvalidTrace):
                Reason(outcome.reason)
                outcome.detail.encode()
            if isinstance(outcome, Part):
                assert check_part(outcome, LIMITS) is None
                assert msgspec.json.decode(msgspec.json.encode(outcome), type=Part) == outcome
    assert seen[Part] > MUTATIONS / 10
    assert seen[InvalidTrace] > MUTATIONS / 10


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: not text.isspace()
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.just("user"), "parts": st.lists(st.fixed_dictionaries({"type": st.just("text"), "content": texts}))}
    ),
    min_size=1,
    max_size=4,
)


@given(messages, st.booleans(), st.floats(0, 1))
def test_json_that_was_cut_anywhere_tells_its_beginning_and_says_so(told: Any, ascii_only: bool, share: float) -> None:
    whole = json.dumps(told, ensure_ascii=ascii_only)
    place = 1 + int(share * (len(whole) - 1))
    cut = Chat()
    cut.ask(whole[:place])
    complete = Chat()
    complete.ask(whole)
    assert (cut.truncated, complete.truncated) == (place < len(whole), False)
    assert len(cut.messages) <= len(complete.messages)
    for (_, beginning), (_, content) in zip(cut.messages, complete.messages, strict=False):
        assert content.startswith(beginning)


@pytest.mark.parametrize(
    ("cut", "mended"),
    [
        ('[{"role": "us', '[{"role":"us"}]'),
        ('[{"role": "user", "par', '[{"role":"user"}]'),
        ('[{"role": "user", "parts"', '[{"role":"user"}]'),
        ('[{"role": "user", "parts":', '[{"role":"user","parts":null}]'),
        ('[{"n": 12', '[{"n":null}]'),
        ('["a\\', '["a"]'),
        ('["a\\u00e', '["a"]'),
        ('["a\\ud83d', '["a"]'),
        ('["a\\\\', '["a\\\\"]'),
        ('["a", ', '["a"]'),
        ('["a"', '["a"]'),
        ("[", "[]"),
        ('{"a": [{', '{"a":[{}]}'),
    ],
)
def test_cut_json_is_closed_where_it_ends(cut: str, mended: str) -> None:
    assert mend(cut) == mended
    assert load(cut) == (json.loads(mended), True)


@pytest.mark.parametrize(
    "value", ["[nothing", "{'a': 1}", "[1, 2", "[]]", "{", '["a" "b"', "[" * 100_000, '["' + "a\\" * 50_001]
)
def test_what_only_begins_as_json_never_raises(value: str) -> None:
    found, cut = load(value)
    assert found is None or cut
