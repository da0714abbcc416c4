"""Labels as they come: from bytes to a label or a named reason, and what became of each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.label import Label, LabelOutcome, LabelSource
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, Reason
from monitor.ingest.formats.native import decode_label
from monitor.labels.intake import outcomes
from tests.labels import label, random_labels, wire

LIMITS = DecodeLimits(max_response_characters=1000, max_prompt_characters=2000, max_future=timedelta(days=366))
NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
STORED, CORRECTED, KNOWN = LabelOutcome.STORED, LabelOutcome.CORRECTED, LabelOutcome.KNOWN


def test_a_label_becomes_the_domain_s_label_and_its_bare_form_a_human_s() -> None:
    full = label(
        3, value=0.5, inclusion_probability=0.05, dimensions={"help": 1.0, "tone": 0.25}, source=LabelSource.AI
    )
    assert decode_label(wire(full), LIMITS, NOW) == full
    bare = {"label_id": "l", "timestamp": "2026-11-21T07:00:00+02:00", "trace_id": "t", "kind": "rating", "value": 1}
    found = decode_label(json.dumps(bare | {"annotator_id": " ", "more": [1]}).encode(), LIMITS, NOW)
    assert found == Label("l", datetime(2026, 11, 21, 5, tzinfo=UTC), "t", "rating", 1.0)


def test_what_is_the_same_label_has_the_same_digest() -> None:
    same = [
        wire(label(), value=0),
        wire(label(), value=-0.0),
        wire(label(), value=0.0, timestamp="2025-03-01T06:00:00+01:00"),
        wire(label(), value=0.0, unknown="field"),
    ]
    found = [decode_label(value, LIMITS, NOW) for value in same]
    assert len({item.digest() for item in found if isinstance(item, Label)}) == 1, found


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"value": 1.5}, Reason.NUMBER_OUT_OF_RANGE, "value = 1.5: Expected `float` <= 1.0"),
        ({"value": -0.1}, Reason.NUMBER_OUT_OF_RANGE, "value = -0.1: Expected `float` >= 0.0"),
        ({"value": None}, Reason.WRONG_TYPE, "value = null: Expected `float`, got `null`"),
        ({"value": float("nan")}, Reason.NOT_JSON, "wanted a JSON object"),
        ({"inclusion_probability": 0}, Reason.NUMBER_OUT_OF_RANGE, "inclusion_probability = 0: Expected `float` > 0.0"),
        ({"kind": "Pref"}, Reason.INVALID_NAME, 'kind = "Pref": Expected `str` matching regex \'^[a-z][a-z0-9_]'),
        ({"kind": "k" * 65}, Reason.INVALID_NAME, "{0,63}$"),
        ({"kind": "preference\n"}, Reason.INVALID_NAME, "wanted no line break"),
        ({"source": "robot"}, Reason.UNKNOWN_WORD, 'source = "robot": unknown; wanted human, ai, user'),
        ({"source": "x" * 10_000}, Reason.UNKNOWN_WORD, "...: unknown"),
        ({"label_id": " "}, Reason.EMPTY_IDENTIFIER, "label_id = ' '; wanted a name"),
        ({"trace_id": ""}, Reason.EMPTY_IDENTIFIER, "trace_id"),
        ({"label_id": "l" * 513}, Reason.IDENTIFIER_TOO_LONG, "<= 512"),
        ({"annotator_id": "a\x00"}, Reason.NUL_CHARACTER, "annotator_id"),
        ({"trace_id": "\ud800"}, Reason.LONE_SURROGATE, "ud800"),
        ({"timestamp": "2027-11-23T00:00:00Z"}, Reason.TIMESTAMP_OUT_OF_RANGE, "at most 366 days"),
        ({"timestamp": "yesterday"}, Reason.INVALID_TIMESTAMP, '= "yesterday"'),
        ({"dimensions": {"help": 2}}, Reason.NUMBER_OUT_OF_RANGE, "dimensions"),
        ({"dimensions": {str(i): 1 for i in range(65)}}, Reason.TOO_MANY_DIMENSIONS, "65 entries; wanted at most 64"),
    ],
    ids=lambda given: next(iter(given), "") if isinstance(given, dict) else "",
)
def test_a_label_with_a_wrong_field_is_refused_with_the_field_the_value_and_what_was_wanted(
    changes: dict[str, Any], reason: Reason, detail: str
) -> None:
    invalid = decode_label(wire(label(), **changes), LIMITS, NOW)
    assert isinstance(invalid, InvalidTrace)
    assert (invalid.reason, detail in invalid.detail) == (reason, True), invalid
    assert len(invalid.detail) < 400


@pytest.mark.parametrize("field", ["label_id", "timestamp", "trace_id", "kind", "value"])
def test_a_label_wants_an_id_a_time_a_trace_a_kind_and_a_value(field: str) -> None:
    form = json.loads(wire(label()))
    del form[field]
    invalid = decode_label(json.dumps(form).encode(), LIMITS, NOW)
    assert invalid == InvalidTrace(Reason.MISSING_FIELD, f"{field} = absent; wanted it to be there")


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 400), patch=st.binary(max_size=4), junk=st.binary(max_size=200))
def test_no_bytes_and_no_mutation_of_a_good_label_raise(cut: int, patch: bytes, junk: bytes) -> None:
    value = wire(label(dimensions={"help": 0.5}, inclusion_probability=0.1))
    for mutated in (junk, value[:cut] + patch + value[cut + len(patch) :]):
        found = decode_label(mutated, LIMITS, NOW)
        assert isinstance(found, Label | InvalidTrace)
        if isinstance(found, Label):
            assert len(found.digest()) == 16
            assert 0 <= found.value <= 1


def became(batch: list[Label], before: list[Label] | None = None) -> list[LabelOutcome]:
    known = {(item.label_id, item.digest()) for item in before or []}
    new = {(item.label_id, item.digest()) for item in batch} - known
    return outcomes(batch, new, stored=[*batch, *(before or [])])


def test_the_same_content_is_known_and_another_one_of_its_id_a_correction() -> None:
    first, later = label(1), label(1, value=0.0, timestamp=label(2).timestamp)
    assert became([first, first]) == [STORED, KNOWN]
    assert became([first, later], [first]) == [KNOWN, CORRECTED]
    assert became([later, first]) == [CORRECTED, STORED]
    assert became([first], [later]) == [STORED]  # it came late, and what stands is later than it


def test_an_annotator_corrects_what_they_said_of_the_same_question_alone() -> None:
    first = label(1, annotator_id="ada")
    again = {"annotator_id": "ada", "value": 0.0}
    assert became([label(2, **again)], [first]) == [CORRECTED]
    for other in ({"trace_id": "t-1"}, {"kind": "refusal"}, {"criteria_version": "c-2"}, {"annotator_id": "bo"}):
        assert became([label(2, **again | other)], [first]) == [STORED]
    assert became([label(2, annotator_id=None)], [label(1, annotator_id=None)]) == [STORED]


def test_what_is_stored_of_a_batch_does_not_hang_on_its_order() -> None:
    random = Random(0)
    batch = random_labels(random, 60)
    found = dict(zip([(item.label_id, item.digest()) for item in batch], became(batch), strict=True))
    shuffled = random.sample(batch, len(batch))
    again = became(shuffled)
    assert {(i.label_id, i.digest()): o for i, o in zip(shuffled, again, strict=True) if o.is_new} == {
        content: outcome for content, outcome in found.items() if outcome.is_new
    }
