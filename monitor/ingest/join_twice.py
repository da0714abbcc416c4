"""Calls that several spans tell of, none of them above the other: instrumentations that know nothing of each other."""

from __future__ import annotations

from monitor.ingest.join_call import Call
from monitor.ingest.part import Part, PartKind


def merge_calls(calls: list[Call]) -> list[Call]:
    """Make one of calls whose spans tell the same answer's id at overlapping times, or the same call at one time."""
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
    """Say whether *outer* holds *inner* in time, was told by others, and agrees with it.

    One instrumentation tells of a call once, so that calls which ran side by side stay as many as they are.
    """
    scopes = _scopes(outer), _scopes(inner)
    return (
        all(scopes)
        and scopes[0].isdisjoint(scopes[1])
        and outer.start_ns <= inner.start_ns
        and inner.end_ns <= outer.end_ns
        and _agree(outer.parts[0].part, inner.parts[0].part)
    )


def _scopes(call: Call) -> set[str]:
    return {item.part.scope for item in call.parts if item.part.kind is PartKind.CALL and item.part.scope}


def _agree(one: Part, other: Part) -> bool:
    models = {one.model, one.request_model} - {None}, {other.model, other.request_model} - {None}
    if all(models) and models[0].isdisjoint(models[1]):
        return False
    if one.error is not None or other.error is not None:
        return one.error is not None and other.error is not None
    counts = one.input_tokens, one.output_tokens, other.input_tokens, other.output_tokens
    if None not in counts:
        return counts[:2] == counts[2:]
    return one.response is not None and one.response == other.response
