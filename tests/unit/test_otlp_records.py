"""Who asked, what log records tell, and what becomes of records that are wrong or of something else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from monitor.domain.label import Label, LabelSource
from monitor.errors import InvalidTrace
from monitor.ingest.decode import Reason
from monitor.ingest.outcome import Skipped, SkipReason
from monitor.ingest.part import PartKind
from tests.otlp import END_NS, LIMITS, log_bytes, metric_bytes, outcomes, part, span_bytes, span_part

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
OTHER_SIGNAL = Skipped(SkipReason.OTHER_SIGNAL)
NESTED = b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":%s%s}]}}]}'
EVALUATION = {"gen_ai.evaluation.name": "Answer Relevance", "gen_ai.evaluation.score.value": 0.75}


@pytest.mark.parametrize(
    ("attributes", "conversation", "user"),
    [
        ({"gen_ai.conversation.id": "c", "session.id": "s", "user.id": "u"}, "c", "u"),
        ({"session.id": "s", "enduser.id": "u"}, "s", "u"),
        ({"traceloop.association.properties.session_id": "s", "traceloop.association.properties.user_id": 7}, "s", "7"),
        ({"metadata": json.dumps({"session_id": "s", "user_id": "u"})}, "s", "u"),
        ({"metadata.user_api_key_end_user_id": "u", "metadata.session_id": ""}, None, "u"),
        ({"llm.invocation_parameters": json.dumps({"user": "u", "metadata": {"session_id": "s"}})}, "s", "u"),
        ({"ai.telemetry.metadata.sessionId": "s", "ai.telemetry.metadata.userId": "u"}, "s", "u"),
        ({"gen_ai.conversation.id": "s", "litellm.end_user.id": "u"}, "s", "u"),
        ({"langfuse.session.id": "s", "langfuse.user.id": "u"}, "s", "u"),
        ({"session.id": " ", "metadata": "no JSON"}, None, None),
    ],
    ids=str,
)
def test_the_conversation_and_the_user_are_found(attributes: Any, conversation: str | None, user: str | None) -> None:
    for base in (CHAT, {}):
        found = span_part(base | attributes)
        assert (found.conversation_id, found.user_id) == (conversation, user)


@pytest.mark.parametrize(
    "attributes",
    [
        {"team": "shop"},
        {"metadata.team": "shop"},
        {"litellm.metadata.team": "shop"},
        {"metadata": json.dumps({"team": "shop", "other": "x"})},
        {"traceloop.association.properties.team": "shop"},
        {"tag.tags": ["team:shop", "tier:gold"]},
        {"tags": json.dumps(["x", "team=shop"])},
        {"llm.invocation_parameters": json.dumps({"metadata": {"tags": ["team:shop"]}})},
    ],
    ids=str,
)
def test_labels_that_are_wanted_are_found(attributes: Any) -> None:
    assert span_part(CHAT | attributes, resource={"service.name": "a", "other": "b"}).labels == {
        "team": "shop",
        "service.name": "a",
    }
    assert part(span_bytes(CHAT | attributes), replace(LIMITS, label_keys=frozenset())).labels == {}


def test_a_bare_tag_is_a_label_that_is_true() -> None:
    assert span_part(CHAT | {"tag.tags": ["x", "team", ":", "y:"]}).labels == {"team": "true"}


def test_a_span_s_label_goes_before_its_resource_s() -> None:
    assert span_part({"team": "shop"}, resource={"team": "all"}).labels == {"team": "shop"}
    assert span_part({"team": 7}, resource={"team": "all"}).labels == {"team": "7"}
    assert span_part({}, resource={"team": "all"}).labels == {"team": "all"}


@pytest.mark.parametrize("in_attribute", [False, True], ids=["named by the field", "named by an attribute"])
def test_a_log_record_brings_a_call_s_texts(in_attribute: bool) -> None:
    name = "gen_ai.client.inference.operation.details"
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}]
    answered = [{"role": "assistant", "parts": [{"type": "text", "content": "Yes."}], "finish_reason": "stop"}]
    told = CHAT | {"gen_ai.input.messages": asked, "gen_ai.output.messages": answered}
    found = part(log_bytes(None if in_attribute else name, told | ({"event.name": name} if in_attribute else {})))
    in_body = part(log_bytes(name, CHAT, told))
    assert (in_body.messages, in_body.response) == (found.messages, found.response)
    assert (found.kind, found.end_ns, found.request_model) == (PartKind.CONTENT, END_NS, "m")
    assert (found.messages, found.response, found.finish_reason) == ((("user", "Hi?"),), "Yes.", "stop")


def test_litellm_s_log_records_tell_the_role_in_their_body_alone() -> None:
    told = {"event_name": "gen_ai.content.prompt", "gen_ai.prompt": "Be terse."}
    found = part(log_bytes(None, told, {"role": "system", "content": "Be terse."}))
    assert found.messages == (("system", "Be terse."),)


@pytest.mark.parametrize(
    ("name", "body", "messages", "response"),
    [
        ("gen_ai.system.message", {"content": "Be terse."}, (("system", "Be terse."),), None),
        ("gen_ai.user.message", {"content": "Hi?", "role": "customer"}, (("customer", "Hi?"),), None),
        ("gen_ai.user.message", '{"content": "Hi?"}', (("user", "Hi?"),), None),
        ("gen_ai.developer.message", {"content": "Be terse."}, (("developer", "Be terse."),), None),
        ("gen_ai.assistant.message", {"tool_calls": [{"id": "1"}]}, (("assistant", ""),), None),
        ("gen_ai.tool.message", {"id": "1", "content": "rain"}, (("tool", "rain"),), None),
        ("gen_ai.choice", {"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}, (), "Yes."),
        ("gen_ai.content.prompt", {"role": "user", "content": "Hi?"}, (("user", "Hi?"),), None),
        ("gen_ai.content.completion", {"index": 0, "message": {"content": "Yes."}}, (), "Yes."),
    ],
)
def test_a_log_record_of_one_message_brings_it(name: str, body: Any, messages: Any, response: str | None) -> None:
    for value in (log_bytes(name, {}, body), log_bytes(None, {"event_name": name}, body)):
        assert ((found := part(value)).messages, found.response) == (messages, response)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gen_ai.choice", {"index": 1, "message": {"content": "Another."}}),
        ("gen_ai.user.message", None),
        ("gen_ai.user.message", {"role": "user"}),
        ("gen_ai.unheard.of", {"content": "?"}),
        ("user.clicked", {"content": "?"}),
        (None, "a line of a log"),
    ],
)
def test_a_log_record_that_tells_nothing_of_an_answer_is_skipped(name: str | None, body: Any) -> None:
    assert outcomes(log_bytes(name, {}, body)) == [OTHER_SIGNAL]


def test_a_log_record_outside_of_any_span_is_named_by_its_answer() -> None:
    name, told = "gen_ai.client.inference.operation.details", CHAT | {"gen_ai.output.messages": [{"content": "Yes."}]}
    answered = told | {"gen_ai.response.id": "r-1"}
    first, again, other = (
        part(log_bytes(name, each, traced=False))
        for each in (answered, answered, answered | {"gen_ai.response.id": "r-2"})
    )
    assert first.call_id == again.call_id != other.call_id
    (unnamed,) = outcomes(log_bytes(name, told, traced=False))
    assert isinstance(unnamed, InvalidTrace)
    assert unnamed.reason == Reason.INVALID_IDENTIFIER


def test_an_evaluation_is_a_label_of_the_call_it_judges() -> None:
    call, label = outcomes(span_bytes(CHAT, events=[("gen_ai.evaluation.result", EVALUATION)]))
    assert isinstance(label, Label)
    assert label.trace_id == getattr(call, "call_id", None)
    assert (label.kind, label.value, label.source) == ("answer_relevance", 0.75, LabelSource.AI)
    (logged,) = outcomes(log_bytes("gen_ai.evaluation.result", EVALUATION | {"gen_ai.evaluation.score.value": 1}))
    assert isinstance(logged, Label)
    assert logged.value == 1


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ({"gen_ai.evaluation.score.label": "pass"}, 1.0),
        ({"gen_ai.evaluation.score.label": "Failed"}, 0.0),
        ({"gen_ai.evaluation.score.label": "relevant"}, None),
        ({"gen_ai.evaluation.score.value": 4.0}, None),
        ({"gen_ai.evaluation.score.value": float("nan")}, None),
        ({"gen_ai.evaluation.score.value": 0.5, "gen_ai.evaluation.name": "5"}, None),
    ],
    ids=str,
)
def test_an_evaluation_that_is_no_share_is_skipped(told: dict[str, Any], value: float | None) -> None:
    (found,) = outcomes(log_bytes("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "correct"} | told))
    assert (found.value if isinstance(found, Label) else None) == value
    assert isinstance(found, Label) or found == OTHER_SIGNAL


def test_metrics_and_empty_exports_are_skipped() -> None:
    assert outcomes(metric_bytes()) == [OTHER_SIGNAL]
    assert outcomes(ExportTraceServiceRequest(resource_spans=[ResourceSpans()]).SerializeToString()) == [OTHER_SIGNAL]
    for name in ("resourceMetrics", "resourceProfiles"):
        assert outcomes(json.dumps({name: [{"resource": {}}]}).encode()) == [OTHER_SIGNAL]
    assert outcomes(b'{"resourceSpans": []}') == [OTHER_SIGNAL]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY_RECORD),
        (b"", Reason.EMPTY_RECORD),
        (b"hello", Reason.NOT_OTLP),
        (b"\x00" * 40, Reason.NOT_OTLP),
        (b'{"trace_id": "t", "response": "native"}', Reason.NOT_OTLP),
        (b'{"resourceSpans": [', Reason.NOT_JSON),
        (b'\n {"resourceSpans": 3}', Reason.WRONG_TYPE),
        (b'[{"resourceSpans": []}]', Reason.WRONG_TYPE),
        (b'{"resourceSpans": [{"resource": {"attributes": [{"key": "\xff"}]}}]}', Reason.NOT_UTF8),
        (NESTED % (b'{"arrayValue":{"values":[' * 600, b"]}}" * 600), Reason.TOO_DEEP),
        (b'{"resourceSpans": [{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}]}", Reason.TOO_DEEP),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_is_no_otlp_is_a_dead_letter_with_a_reason(value: bytes | None, reason: Reason) -> None:
    (found,) = outcomes(value)
    assert isinstance(found, InvalidTrace)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"gen_ai.response.model": "m" * 600}, Reason.IDENTIFIER_TOO_LONG),
        ({"session.id": "s" * 600}, Reason.IDENTIFIER_TOO_LONG),
        ({"gen_ai.output.messages": json.dumps([{"content": "x" * 100_001}])}, Reason.RESPONSE_TOO_LONG),
        ({"gen_ai.input.messages": json.dumps([{"content": "x" * 100_001}])}, Reason.PROMPT_TOO_LONG),
    ],
    ids=["model", "session", "answer", "prompt"],
)
def test_a_call_that_cannot_be_kept_is_a_dead_letter_and_another_span_is_not(attributes: Any, reason: Reason) -> None:
    (found,) = outcomes(span_bytes(CHAT | attributes))
    assert isinstance(found, InvalidTrace)
    assert found.reason == reason
    assert "ab" not in found.detail
    around = span_part(attributes)
    assert (around.kind, around.conversation_id, around.user_id) == (PartKind.CONTEXT, None, None)


def test_texts_that_were_written_outside_of_all_spans_and_name_no_answer_are_passed_over() -> None:
    assert outcomes(log_bytes("gen_ai.user.message", {}, {"content": "Hi?"}, traced=False)) == [
        Skipped(SkipReason.UNJOINED)
    ]


@pytest.mark.parametrize("unstorable", ["\\u0000", "\\ud800"], ids=["NUL", "half a pair"])
def test_characters_that_no_database_holds_are_replaced(unstorable: str) -> None:
    found = span_part(CHAT | {"gen_ai.output.messages": f'[{{"content": "a{unstorable}b"}}]', "user.id": "a\x00b"})
    assert (found.response, found.user_id) == ("a\N{REPLACEMENT CHARACTER}b", "a\N{REPLACEMENT CHARACTER}b")
    text = MessageToJson(ExportTraceServiceRequest.FromString(span_bytes(CHAT | {"gen_ai.conversation.id": "HERE"})))
    assert part(text.replace("HERE", unstorable).encode()).conversation_id == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("field", ["trace_id", "span_id", "parent_span_id"])
@pytest.mark.parametrize("wrong", [b"\x00" * 8, b"\x01" * 3, b""], ids=["zeros", "short", "none"])
def test_identifiers_that_name_nothing_are_refused_in_calls_alone(field: str, wrong: bytes) -> None:
    for attributes, refused in ((CHAT, InvalidTrace), ({"http.route": "/"}, Skipped)):
        request = ExportTraceServiceRequest.FromString(span_bytes(attributes))
        setattr(request.resource_spans[0].scope_spans[0].spans[0], field, wrong)
        (found,) = outcomes(request.SerializeToString())
        if field == "parent_span_id" and wrong.strip(b"\x00") == b"":
            assert getattr(found, "parent", "") is None  # as some write a root
        else:
            assert isinstance(found, refused)


def test_json_with_identifiers_in_base64_is_read_alike() -> None:
    value = span_bytes(CHAT | {"gen_ai.usage.output_tokens": 7}, error="it broke")
    text = MessageToJson(ExportTraceServiceRequest.FromString(value))
    assert "STATUS_CODE_ERROR" in text
    assert part(b"\n  " + text.encode()) == part(value)
