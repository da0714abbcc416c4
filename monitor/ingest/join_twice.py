"""Calls that several spans tell of, none of them above the other: instrumentations that know nothing of each other."""

from __future__ import annotations

from typing import NamedTuple

from monitor.ingest.join_call import Call
from monitor.ingest.part import PartKind


def merge_calls(calls: list[Call]) -> list[Call]:
    """Make one of calls whose spans tell the same answer's id at overlapping times, or the same call."""
    calls.sort(key=lambda call: (not call.has_span, call.start_ns, -call.end_ns, call.span))
    merged: list[Call] = []
    by_answer: dict[str, Call] = {}
    are_many = len(set().union(*map(_scopes, calls))) > 1
    for call in calls:
        outer = next((by_answer[name] for name in call.answers if name in by_answer), None)
        if outer is not None and (call.start_ns > outer.end_ns or outer.contradicts(call)):
            outer = None
        if outer is None and are_many:
            outer = next((other for other in merged if _tells_of(other, call)), None)
        if outer is not None:
            outer.swallow(call)
        else:
            outer = call
            merged.append(call)
        for name in call.answers:
            by_answer.setdefault(name, outer)
    return merged


def _tells_of(outer: Call, inner: Call) -> bool:
    """Say whether *outer* tells of the same call as *inner*, in other words.

    It was told by another instrumentation, agrees with it, and holds it in time or has the same texts: some end the
    span of a streamed answer before it is read. One instrumentation tells of a call once, so that calls which ran side
    by side stay as many as they are.
    """
    scopes = _scopes(outer), _scopes(inner)
    if not all(scopes) or not scopes[0].isdisjoint(scopes[1]):
        return False
    one, other = _told(outer), _told(inner)
    is_inside = outer.start_ns <= inner.start_ns and inner.end_ns <= outer.end_ns
    return _agree(one, other) and (is_inside or _say_the_same(one, other))


class _Told(NamedTuple):
    models: set[str]
    failed: bool
    counts: tuple[int | None, int | None]
    asked: str | None  # the last message
    response: str | None
    tool_calls: int


def _told(call: Call) -> _Told:
    """Return what the spans of *call* tell, each of the first that does."""
    parts = [item.part for item in call.parts]
    return _Told(
        models={model for part in parts for model in (part.model, part.request_model) if model is not None},
        failed=any(part.error is not None for part in parts),
        counts=(
            next((part.input_tokens for part in parts if part.input_tokens is not None), None),
            next((part.output_tokens for part in parts if part.output_tokens is not None), None),
        ),
        asked=next((part.messages[-1][1] for part in parts if part.messages), None),
        response=next((part.response for part in parts if part.response is not None), None),
        tool_calls=max(part.tool_calls for part in parts),
    )


def _agree(one: _Told, other: _Told) -> bool:
    if one.failed != other.failed or (one.models and other.models and one.models.isdisjoint(other.models)):
        return False
    if one.failed:
        return True
    if any(None not in pair and pair[0] != pair[1] for pair in zip(one.counts, other.counts, strict=True)):
        return False
    if None not in (one.counts[1], other.counts[1]):  # some tell the answer's alone
        return True
    return one.response is not None and one.response == other.response


def _say_the_same(one: _Told, other: _Told) -> bool:
    is_answered = one.response is not None or one.tool_calls > 0
    return is_answered and bool(one.asked) and one[3:] == other[3:]


def _scopes(call: Call) -> set[str]:
    return {item.part.scope for item in call.parts if item.part.kind is PartKind.CALL and item.part.scope}
