"""Bytes become a trace, a preference or a named reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from monitor.domain.trace import Message, Preference, TokenSource, Trace
from monitor.errors import InvalidSetting, InvalidTrace
from monitor.ingest.decode import (
    DecodeLimits,
    Reason,
    count_output_tokens,
    load_tokenizer,
)
from monitor.ingest.formats.native import decode_preference, decode_trace, schemas

LIMITS = DecodeLimits(max_response_characters=1000, max_prompt_characters=2000, max_future=timedelta(days=366))
NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
TRACE: dict[str, Any] = {
    "trace_id": "t-1",
    "timestamp": "2026-11-21T05:00:00Z",
    "policy_model": "phi-2-dpo",
    "response": "An answer.",
    "conversation_id": "c-1",
    "cohort": {"dataset": "koala"},
    "messages": [{"role": "user", "content": "A question."}],
    "reference_response": None,
    "finish_reason": "stop",
    "input_tokens": 12,
    "output_tokens": 345,
    "latency_seconds": 1.2,
    "feedback": {"rating": -1},
    "error": None,
}
PREFERENCE: dict[str, Any] = {
    "preference_id": "p-1",
    "timestamp": "2026-11-21T05:00:00Z",
    "messages": [{"role": "user", "content": "A question."}],
    "chosen": "Good.",
    "rejected": "Bad.",
    "tie": False,
    "annotator_id": "a-1",
    "criteria_version": "v2",
    "cohort": {"dataset": "koala"},
    "dimensions": {"helpful": 0.5},
    "trace_id": "t-1",
}
ABSENT = object()


def encoded(form: dict[str, Any], changes: dict[str, Any]) -> bytes:
    return json.dumps({name: field for name, field in (form | changes).items() if field is not ABSENT}).encode()


def decoded(**changes: Any) -> Trace:
    trace = decode_trace(encoded(TRACE, changes), LIMITS, NOW)
    assert isinstance(trace, Trace), trace
    return trace


def rejected(value: bytes | None) -> InvalidTrace:
    invalid = decode_trace(value, LIMITS, NOW)
    assert isinstance(invalid, InvalidTrace), invalid
    return invalid


def test_a_native_trace_becomes_the_domain_s_trace() -> None:
    assert decoded() == Trace(
        trace_id="t-1",
        timestamp=datetime(2026, 11, 21, 5, tzinfo=UTC),
        policy_model="phi-2-dpo",
        response="An answer.",
        messages=(Message("user", "A question."),),
        conversation_id="c-1",
        cohort={"dataset": "koala"},
        finish_reason="stop",
        input_tokens=12,
        output_tokens=345,
        latency_seconds=1.2,
        feedback_rating=-1.0,
    )


def test_a_preference_event_becomes_the_domain_s_preference() -> None:
    assert decode_preference(encoded(PREFERENCE, {}), LIMITS, NOW) == Preference(
        preference_id="p-1",
        timestamp=datetime(2026, 11, 21, 5, tzinfo=UTC),
        messages=(Message("user", "A question."),),
        chosen="Good.",
        rejected="Bad.",
        annotator_id="a-1",
        criteria_version="v2",
        cohort={"dataset": "koala"},
        dimensions={"helpful": 0.5},
        trace_id="t-1",
    )


@pytest.mark.parametrize(
    ("value", "reason", "named"),
    [
        pytest.param(None, Reason.EMPTY_RECORD, "value", id="a tombstone"),
        pytest.param(b"", Reason.EMPTY_RECORD, "value", id="no bytes"),
        pytest.param(b"\xff\xfe{}", Reason.NOT_UTF8, "byte 0", id="bytes that are no text"),
        pytest.param(b'{"trace_id": "\xed\xa0\x80"}', Reason.NOT_UTF8, "UTF-8", id="a surrogate in raw bytes"),
        pytest.param(b"{", Reason.NOT_JSON, "truncated", id="truncated JSON"),
        pytest.param(b'{"latency_seconds": NaN}', Reason.NOT_JSON, "byte", id="NaN"),
        pytest.param(b'{"a": "\\ud83d\\ude00", }', Reason.NOT_JSON, "malformed", id="a bad comma after a whole pair"),
        pytest.param(b"[]", Reason.WRONG_TYPE, "got `array`", id="an array"),
        pytest.param(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.TOO_DEEP, "nested", id="deep arrays"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Reason.TOO_DEEP, "nested", id="deep objects"),
    ],
)
def test_a_record_that_is_no_json_object_is_rejected(value: bytes | None, reason: Reason, named: str) -> None:
    invalid = rejected(value)
    assert invalid.reason == reason
    assert named in invalid.detail


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        pytest.param({"trace_id": ABSENT}, Reason.MISSING_FIELD, "trace_id", id="no trace id"),
        pytest.param({"timestamp": ABSENT}, Reason.MISSING_FIELD, "timestamp", id="no timestamp"),
        pytest.param({"policy_model": ABSENT}, Reason.MISSING_FIELD, "policy_model", id="no policy model"),
        pytest.param(
            {"response": ABSENT, "output_tokens": ABSENT, "latency_seconds": ABSENT},
            Reason.MISSING_FIELD,
            "a response, an error",
            id="neither answer nor error nor tokens nor latency",
        ),
        pytest.param({"messages": [{"content": ""}]}, Reason.MISSING_FIELD, "messages[0].role", id="no role"),
        pytest.param({"trace_id": 7}, Reason.WRONG_TYPE, "trace_id = 7: Expected `str`", id="a trace id of digits"),
        pytest.param({"response": ["secret"]}, Reason.WRONG_TYPE, "response", id="a list of responses"),
        pytest.param({"messages": "hello"}, Reason.WRONG_TYPE, "messages", id="a bare prompt"),
        pytest.param({"cohort": {"a": ["b"]}}, Reason.WRONG_TYPE, "cohort", id="a list as a label"),
        pytest.param({"output_tokens": 3.5}, Reason.WRONG_TYPE, "output_tokens = 3.5", id="half a token"),
        pytest.param({"trace_id": ""}, Reason.EMPTY_IDENTIFIER, "trace_id", id="an empty trace id"),
        pytest.param({"trace_id": " \n"}, Reason.EMPTY_IDENTIFIER, "trace_id", id="a blank trace id"),
        pytest.param({"policy_model": "\t"}, Reason.EMPTY_IDENTIFIER, "policy_model", id="a blank policy model"),
        pytest.param({"trace_id": "x" * 513}, Reason.IDENTIFIER_TOO_LONG, "<= 512", id="a long trace id"),
        pytest.param({"conversation_id": "x" * 513}, Reason.IDENTIFIER_TOO_LONG, "<= 512", id="a long conversation id"),
        pytest.param({"cohort": {"x" * 513: "y"}}, Reason.IDENTIFIER_TOO_LONG, "cohort", id="a long label name"),
        pytest.param({"timestamp": "yesterday"}, Reason.INVALID_TIMESTAMP, '= "yesterday"', id="a word for a time"),
        pytest.param({"timestamp": 1.7e9}, Reason.WRONG_TYPE, "timestamp = 17", id="epoch seconds"),
        pytest.param({"timestamp": "9999-12-31T23:59:59Z"}, Reason.TIMESTAMP_OUT_OF_RANGE, "9999", id="the year 9999"),
        pytest.param(
            {"timestamp": "9999-12-31T23:59:59-05:00"}, Reason.TIMESTAMP_OUT_OF_RANGE, "9999", id="after the calendar"
        ),
        pytest.param(
            {"timestamp": "0001-01-01T00:00:00+05:00"}, Reason.TIMESTAMP_OUT_OF_RANGE, "0001", id="before the calendar"
        ),
        pytest.param({"timestamp": "1970-01-01T00:00:00Z"}, Reason.TIMESTAMP_OUT_OF_RANGE, "2000", id="the epoch"),
        pytest.param(
            {"timestamp": "2027-11-23T00:00:00Z"},
            Reason.TIMESTAMP_OUT_OF_RANGE,
            "366 days",
            id="beyond the limit ahead",
        ),
        pytest.param({"output_tokens": -1}, Reason.NUMBER_OUT_OF_RANGE, "output_tokens = -1", id="negative tokens"),
        pytest.param({"output_tokens": 2**63}, Reason.NUMBER_OUT_OF_RANGE, "output_tokens", id="2^63 tokens"),
        pytest.param({"output_tokens": 10**400}, Reason.NUMBER_OUT_OF_RANGE, "output_tokens", id="10^400 tokens"),
        pytest.param({"output_tokens": 1e300}, Reason.NUMBER_OUT_OF_RANGE, "output_tokens", id="1e300 tokens"),
        pytest.param({"latency_seconds": -0.1}, Reason.NUMBER_OUT_OF_RANGE, "latency", id="a negative latency"),
        pytest.param({"feedback": {"rating": 1e12}}, Reason.NUMBER_OUT_OF_RANGE, "rating", id="a huge rating"),
        pytest.param({"response": ""}, Reason.EMPTY_RESPONSE, "response", id="an empty response"),
        pytest.param({"response": " \n\u2003"}, Reason.EMPTY_RESPONSE, "response", id="a blank response"),
        pytest.param({"response": "x" * 10_000_000}, Reason.RESPONSE_TOO_LONG, "10,000,000", id="10 MB of response"),
        pytest.param({"reference_response": "x" * 1001}, Reason.RESPONSE_TOO_LONG, "reference", id="a long reference"),
        pytest.param(
            {"messages": [{"role": "user", "content": "x" * 700}] * 3},
            Reason.PROMPT_TOO_LONG,
            "2,112",
            id="a long prompt",
        ),
        pytest.param({"trace_id": "t\x00"}, Reason.NUL_CHARACTER, "trace_id", id="NUL in the trace id"),
        pytest.param({"response": "a\x00b"}, Reason.NUL_CHARACTER, "response", id="NUL in the response"),
        pytest.param({"cohort": {"a": "\x00"}}, Reason.NUL_CHARACTER, "cohort.a", id="NUL in a label"),
        pytest.param({"cohort": {"\x00": "a"}}, Reason.NUL_CHARACTER, "cohort", id="NUL in a label's name"),
        pytest.param(
            {"messages": [{"role": "user", "content": "\x00"}]},
            Reason.NUL_CHARACTER,
            "messages[0]",
            id="NUL in the prompt",
        ),
        pytest.param({"response": "\ud800 tail"}, Reason.LONE_SURROGATE, "ud800", id="half a pair in the response"),
        pytest.param({"trace_id": "\udc00"}, Reason.LONE_SURROGATE, "udc00", id="half a pair in the trace id"),
    ],
)
def test_a_trace_with_a_wrong_field_is_rejected(changes: dict[str, Any], reason: Reason, named: str) -> None:
    invalid = rejected(encoded(TRACE, changes))
    assert invalid.reason == reason
    assert named in invalid.detail
    assert len(invalid.detail) < 400
    assert "secret" not in invalid.detail


@pytest.mark.parametrize(
    ("changes", "reason", "named"),
    [
        pytest.param({"chosen": ABSENT}, Reason.MISSING_FIELD, "chosen", id="nothing chosen"),
        pytest.param({"rejected": " "}, Reason.EMPTY_RESPONSE, "rejected", id="a blank rejected answer"),
        pytest.param({"preference_id": " "}, Reason.EMPTY_IDENTIFIER, "preference_id", id="a blank id"),
        pytest.param({"tie": "yes"}, Reason.WRONG_TYPE, "tie", id="a word for a tie"),
        pytest.param({"dimensions": {"helpful": "very"}}, Reason.WRONG_TYPE, "dimensions", id="a word for a rating"),
        pytest.param({"dimensions": {"\x00": 1}}, Reason.NUL_CHARACTER, "dimensions", id="NUL in a dimension"),
        pytest.param({"timestamp": "9999-01-01T00:00:00Z"}, Reason.TIMESTAMP_OUT_OF_RANGE, "9999", id="the year 9999"),
        pytest.param({"chosen": "x" * 1001}, Reason.RESPONSE_TOO_LONG, "chosen", id="a long answer"),
    ],
)
def test_a_preference_with_a_wrong_field_is_rejected(changes: dict[str, Any], reason: Reason, named: str) -> None:
    invalid = decode_preference(encoded(PREFERENCE, changes), LIMITS, NOW)
    assert isinstance(invalid, InvalidTrace)
    assert (invalid.reason, named in invalid.detail) == (reason, True)


def test_an_error_stands_in_for_the_response() -> None:
    trace = decoded(response="", error="500 from upstream")
    assert (trace.response, trace.error) == (None, "500 from upstream")


def test_a_long_error_is_cut() -> None:
    assert decoded(response=None, error="e" * 20_000).error == "e" * 10_000


def test_a_timestamp_without_an_offset_is_utc_and_one_with_it_is_converted() -> None:
    naive = decoded(timestamp="2026-11-21T05:00:00").timestamp
    zoned = decoded(timestamp="2026-11-21T07:00:00+02:00").timestamp
    assert naive.tzinfo is zoned.tzinfo is UTC
    assert naive == zoned == datetime(2026, 11, 21, 5, tzinfo=UTC)


def test_labels_that_are_not_text_are_read_as_their_json_text_and_null_ones_dropped() -> None:
    labels = decoded(cohort={"tier": 2, "beta": True, "share": 0.5, "region": None}).cohort
    assert labels == {"tier": "2", "beta": "true", "share": "0.5"}


def test_message_parts_are_joined_and_a_message_without_text_is_empty() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "two"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None, "tool_calls": []}]
    assert decoded(messages=messages).messages == (Message("user", "one\ntwo"), Message("assistant", ""))


def test_a_whole_number_written_as_a_float_counts_tokens() -> None:
    tokens = decoded(output_tokens=345.0).output_tokens
    assert (tokens, type(tokens)) == (345, int)


def test_unknown_fields_and_an_escaped_backslash_before_u0000_are_no_reason_to_reject() -> None:
    assert decoded(extra={"deep": [1, {"x": "\x00"}]}, response="\\u0000").response == "\\u0000"


def test_a_surrogate_pair_is_a_character() -> None:
    assert decoded(response="\U0001f600").response == "\U0001f600"


def test_missing_output_tokens_are_counted_in_words_without_a_tokenizer() -> None:
    counted = count_output_tokens(decoded(output_tokens=None, response=" one two\nthree "), None)
    assert (counted.output_tokens, counted.output_tokens_source) == (3, TokenSource.WORDS)


def test_missing_output_tokens_are_counted_by_the_configured_tokenizer_without_truncation(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Punctuation()
    tokenizer.enable_truncation(max_length=2)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    counted = count_output_tokens(decoded(output_tokens=None, response="a.b.c"), load_tokenizer(tmp_path))
    assert (counted.output_tokens, counted.output_tokens_source) == (5, TokenSource.TOKENIZER)


def test_reported_tokens_and_missing_responses_are_left_alone() -> None:
    for trace in (decoded(), decoded(response=None, error="e", output_tokens=None)):
        assert count_output_tokens(trace, None) is trace


def test_a_folder_without_a_readable_tokenizer_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"ingest\.tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidSetting, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_the_committed_schemas_are_the_types() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for name, content in schemas().items():
        assert (docs / name).read_bytes() == content, f"{name}: run python -m monitor.ingest.formats.native"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(value: bytes) -> None:
    for decode in (decode_trace, decode_preference):
        assert isinstance(decode(value, LIMITS, NOW), InvalidTrace)


@settings(max_examples=500, deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from(sorted(TRACE | PREFERENCE)), JSON, max_size=3),
    cut=st.integers(0, 600),
    patch=st.binary(max_size=4),
)
def test_no_mutation_of_a_good_record_raises(changes: dict[str, Any], cut: int, patch: bytes) -> None:
    for form in (TRACE, PREFERENCE):
        value = encoded(form, changes)
        for mutated in (value, value[:cut] + patch + value[cut + len(patch) :]):
            trace, preference = decode_trace(mutated, LIMITS, NOW), decode_preference(mutated, LIMITS, NOW)
            assert isinstance(trace, Trace | InvalidTrace)
            assert isinstance(preference, Preference | InvalidTrace)
            if isinstance(trace, Trace):
                repr(trace).encode()  # no lone surrogate slipped through
                assert "\x00" not in f"{trace.trace_id}{trace.response}{trace.cohort}{trace.error}"


def test_a_blank_answer_beside_calls_of_tools_is_an_answer_without_text() -> None:
    trace = decoded(response="", tool_calls=1)
    assert (trace.response, trace.tool_calls) == (None, 1)
