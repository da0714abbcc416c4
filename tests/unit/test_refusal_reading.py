"""What a refusal model says of traces: a probability, of which a part is that it refuses in full."""

from __future__ import annotations

from monitor.drift.tolerance import Tolerance, tolerance_of
from monitor.signals.refusal import REFUSAL, PatternRefusal, RefusalReading
from tests.traces import REFUSAL as REFUSED
from tests.traces import trace

HELPED = f"{REFUSED} Instead:\n\n1. Rest.\n2. Drink water."


def test_patterns_tell_a_full_refusal_a_partial_one_and_an_answer_apart() -> None:
    responses = (REFUSED, HELPED, "The capital is Rome.", None)
    assert PatternRefusal().read([trace(response=response) for response in responses]) == [
        RefusalReading(1.0, 1.0),
        RefusalReading(1.0, 0.0),
        RefusalReading(0.0, 0.0),
        None,
    ]


def test_a_probability_of_refusing_is_tolerated_as_a_rate_of_refusals_was() -> None:
    assert tolerance_of(REFUSAL, None) == Tolerance(share=1.0 / 3.0, points=0.01)
    assert tolerance_of(REFUSAL, {REFUSAL.name: Tolerance(points=0.05)}) == Tolerance(points=0.05)
