"""Every file that a real producer wrote gives the ten scripted calls, as protobuf and as JSON."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.otlp import decode
from monitor.ingest.part import Part, PartKind
from tests.recordings import OTLP, recorded, script

LIMITS = DecodeLimits(100_000, 100_000, timedelta(days=1), frozenset({"service.name", "team", "tier"}))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ANSWERED_BY = "chat-7b-2026-10-01"
MODELS = {"litellm_openinference": "openai/chat-7b"}  # it tells what was asked for alone
FINISH_REASONS = {"openllmetry": {"tool_calls": "tool_call"}}  # in its own word

encodings = pytest.mark.parametrize("json_encoded", [False, True], ids=["protobuf", "json"])
producers = pytest.mark.parametrize("name", OTLP)


def parts_of(name: str, *, json_encoded: bool) -> list[Part]:
    outcomes = [each for record in recorded(name, json_encoded=json_encoded) for each in decode(record, LIMITS, NOW)]
    assert all(isinstance(each, Part) for each in outcomes), outcomes
    return [each for each in outcomes if isinstance(each, Part)]


def calls_of(parts: list[Part]) -> list[tuple[Part, list[Part]]]:
    """Return every call with what its log lines tell of it, in time order."""
    content = [part for part in parts if part.kind is PartKind.CONTENT]
    calls = [part for part in parts if part.kind is PartKind.CALL]
    joined = [(call, [each for each in content if each.call_id == call.call_id]) for call in calls]
    assert sum(len(texts) for _, texts in joined) == len(content), "texts of a call that is not there"
    return sorted(joined, key=lambda pair: pair[0].start_ns or 0)


@producers
@encodings
def test_a_file_holds_ten_calls_each_once(name: str, json_encoded: bool) -> None:
    calls = calls_of(parts_of(name, json_encoded=json_encoded))
    assert len({call.call_id for call, _ in calls}) == len(calls) == 10
    assert [call.error is not None for call, _ in calls] == [call.failed for call in script()]
    assert all("scripted failure" in call.error for call, _ in calls if call.error is not None)


@producers
@encodings
def test_calls_tell_what_the_script_says(name: str, json_encoded: bool) -> None:
    for (call, content), scripted in zip(calls_of(parts_of(name, json_encoded=json_encoded)), script(), strict=True):
        told = [call, *content]
        messages = tuple(
            message for part in sorted(told, key=lambda part: part.end_ns or 0) for message in part.messages
        )
        assert messages == (() if name == "otel_latest_none" else scripted.messages)
        if scripted.failed:
            assert [part.response for part in told] == [None] * len(told)
            continue
        responses = [part.response for part in told if part.response is not None]
        assert responses == ([] if name == "otel_latest_none" or scripted.response is None else [scripted.response])
        assert (call.input_tokens, call.output_tokens) == (scripted.input_tokens, scripted.output_tokens)
        streamed_by_litellm = name == "litellm_otel" and "Stream" in scripted.messages[0][1]  # what was asked for alone
        assert call.model == ("chat-7b" if streamed_by_litellm else MODELS.get(name, ANSWERED_BY))
        assert not call.truncated
        if name != "otel_latest_none":
            wanted = FINISH_REASONS.get(name, {}).get(scripted.finish_reason, scripted.finish_reason)
            assert {part.finish_reason for part in told if part.finish_reason} == {wanted}
            assert max(part.tool_calls for part in told) == scripted.tool_calls


@producers
@encodings
def test_a_failed_call_names_the_model_that_was_asked_for(name: str, json_encoded: bool) -> None:
    (failed,) = (call for call, _ in calls_of(parts_of(name, json_encoded=json_encoded)) if call.error is not None)
    assert (failed.model or failed.request_model) == MODELS.get(name, "chat-7b")


@producers
def test_both_encodings_tell_the_same(name: str) -> None:
    sides = [parts_of(name, json_encoded=json_encoded) for json_encoded in (False, True)]
    binary, text = (sorted(side, key=lambda part: (part.kind, part.call_id, part.end_ns or 0)) for side in sides)
    assert binary == text


@encodings
def test_the_span_around_a_call_tells_who_asked(json_encoded: bool) -> None:
    parts = parts_of("otel_latest_event", json_encoded=json_encoded)
    around = {part.span: part for part in parts if part.kind is PartKind.CONTEXT}
    asked = [around[call.parent or ""] for call, _ in calls_of(parts)]
    assert [part.conversation_id for part in asked] == [f"s-v{number}" for number in range(1, 11)]
    assert {part.user_id for part in asked} == {"u-1"}
    assert {part.parent for part in asked} == {None}


@encodings
def test_litellm_s_raw_request_is_no_call_of_its_own(json_encoded: bool) -> None:
    parts = parts_of("litellm_otel", json_encoded=json_encoded)
    assert Counter(part.kind for part in parts) == {PartKind.CALL: 10, PartKind.CONTEXT: 9}
    calls = {part.span for part in parts if part.kind is PartKind.CALL}
    assert {part.parent for part in parts if part.kind is PartKind.CONTEXT} < calls
    assert {part.user_id for part in parts if part.kind is PartKind.CALL} == {"u-1"}


@encodings
def test_labels_come_from_resources_and_tags(json_encoded: bool) -> None:
    calls = calls_of(parts_of("litellm_openinference", json_encoded=json_encoded))
    assert {tuple(sorted(call.labels.items())) for call, _ in calls} == {
        (("service.name", "shop-assistant"), ("team", "shop"), ("tier", "gold"))
    }
    assert [call.conversation_id for call, _ in calls] == [f"s-v{number}" for number in range(1, 11)]
    assert {call.user_id for call, _ in calls} == {"u-1"}


def test_a_record_that_was_cut_is_a_dead_letter() -> None:
    for json_encoded in (False, True):
        record = recorded("otel_latest_span", json_encoded=json_encoded)[0]
        assert record.value is not None
        cut = decode(type(record)("t", 0, 0, None, record.value[:-100]), LIMITS, NOW)
        assert [type(each) for each in cut] == [InvalidTrace]
