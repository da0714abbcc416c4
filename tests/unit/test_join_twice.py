"""Spans of two instrumentations, neither above the other, that tell of one call."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.domain.trace import Trace
from monitor.ingest.part import Part
from tests.joining import Replay
from tests.parts import SECOND, START_NS, bare, call

INSIDE = {"start_ns": START_NS + 1, "end_ns": START_NS + SECOND - 1}
COUNTED = {"input_tokens": 9, "output_tokens": 2}
FAILED = {"error": "429", "output_tokens": None}


def outer(**changes: Any) -> Part:
    told: dict[str, Any] = {"scope": "framework", **COUNTED}
    return call(**told | changes)


def inner(span: str = "i", **changes: Any) -> Part:
    return call(span, **{"scope": "client", **INSIDE, **COUNTED} | changes)


def traces(*parts: Part) -> list[Trace]:
    replay = Replay()
    replay.take_parts(*parts)
    replay.end()
    return list(replay.traces.values())


ONE = {
    "the same counts": (outer(), inner()),
    "the same counts of the answer, and no other of one": (outer(input_tokens=None), inner(response=None)),
    "the same answer, and counts of one": (outer(input_tokens=None, output_tokens=None), inner()),
    "failures": (outer(**FAILED, response=None), bare("i", scope="client", **INSIDE, **FAILED)),
    "a model that one asked for and the other has the answer of": (
        outer(model="phi", request_model=None), inner(model="phi-2", request_model="phi"),
    ),
    "the same texts, although the span of the stream ended early": (
        outer(end_ns=START_NS + 1), inner(start_ns=START_NS + 5, end_ns=START_NS + 9),
    ),
    "a model that one does not tell": (outer(), inner(model=None)),
}  # fmt: skip
TWO = {
    "one instrumentation": (outer(), inner(scope="framework")),
    "nobody knows who wrote them": (outer(scope=None), inner(scope=None)),
    "other counts": (outer(), inner(output_tokens=3)),
    "other counts of the prompt": (outer(), inner(input_tokens=8)),
    "other models": (outer(), inner(model="gpt-2")),
    "one failed": (outer(), inner(error="429")),
    "one ends after the other, with another answer": (outer(), inner(end_ns=START_NS + 2 * SECOND, response="B.")),
    "nothing to compare": (outer(output_tokens=None, response=None, tool_calls=1), inner()),
}


@pytest.mark.parametrize("parts", ONE.values(), ids=ONE)
def test_a_call_that_two_tell_at_one_time_is_one_trace_by_the_outer_name(parts: tuple[Part, ...]) -> None:
    for order in (parts, parts[::-1]):
        assert [trace.trace_id for trace in traces(*order)] == ["t-c"]


@pytest.mark.parametrize("parts", TWO.values(), ids=TWO)
def test_calls_that_differ_are_two_traces(parts: tuple[Part, ...]) -> None:
    for order in (parts, parts[::-1]):
        assert len(traces(*order)) == 2


def test_calls_side_by_side_stay_as_many_as_they_are_although_they_look_alike() -> None:
    parts = [each for n in range(3) for each in (outer(span=f"c{n}"), inner(f"i{n}"))]
    assert len(traces(*parts)) == 3


def test_the_inner_one_names_the_model_that_answered_where_the_outer_one_repeats_what_was_asked_for() -> None:
    (made,) = traces(outer(model="phi", request_model="phi"), inner(model="phi-2", request_model="phi"))
    assert made.policy_model == "phi-2"
