"""The signals, by name, and how traces are observed: a new signal of a trace has its line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.domain.signal import CONTROL_LENGTH, CONTROL_REFUSAL, DISAGREEMENT, REWARD, Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.cost import COST
from monitor.signals.estimand import LABEL_SIGNALS, REWARD_WIN
from monitor.signals.feedback import NEGATIVE_FEEDBACK, observe_negative_feedback
from monitor.signals.habits import HABITS
from monitor.signals.input_shift import INPUT_SHIFT
from monitor.signals.length import RESPONSE_LENGTH, observe_length
from monitor.signals.operations import OPERATIONS
from monitor.signals.outcome import ERROR, TRUNCATION, observe_error, observe_truncation
from monitor.signals.probe import PROBE_SIGNALS
from monitor.signals.refusal import FULL_REFUSAL, REFUSAL, REFUSAL_JUDGED
from monitor.signals.refusal.observers import refusal_observers
from monitor.signals.user_feedback import FEEDBACK_SIGNALS

Observer = Callable[[Trace], Observation | None]  # None: the trace says nothing about the signal


@dataclass(frozen=True, slots=True)
class Batched:
    """An observer that reads many traces at once: an answer for each, in their order."""

    observe: Callable[[Sequence[Trace]], Sequence[Observation | None]]


_REFUSALS = refusal_observers()

# On unless `signals.off` names them.
TRACE_SIGNALS: dict[Signal, Observer | Batched] = {
    RESPONSE_LENGTH: observe_length,
    REFUSAL: Batched(_REFUSALS[REFUSAL]),
    TRUNCATION: observe_truncation,
    ERROR: observe_error,
    NEGATIVE_FEEDBACK: observe_negative_feedback,
}

# Off unless `signals.on` names them: each one more has its share of the budget of false pages.
OPTIONAL_SIGNALS: dict[Signal, Observer | Batched] = {
    FULL_REFUSAL: Batched(_REFUSALS[FULL_REFUSAL]),
    # a line each, as above
    **HABITS,
    **OPERATIONS,
    COST: lambda trace: None,  # `choose` puts in its place what has prices
}

# Written by other sources than an observer of traces.
OTHER_SIGNALS: tuple[Signal, ...] = (
    REWARD,
    DISAGREEMENT,
    REWARD_WIN,
    CONTROL_LENGTH,
    CONTROL_REFUSAL,
    INPUT_SHIFT,
    REFUSAL_JUDGED,
    *LABEL_SIGNALS,
    *PROBE_SIGNALS,
    *FEEDBACK_SIGNALS,
)

# All that come with the program, be they on or off.
SIGNALS: dict[str, Signal] = {signal.name: signal for signal in (*TRACE_SIGNALS, *OPTIONAL_SIGNALS, *OTHER_SIGNALS)}
