"""How long the answer is, in output tokens."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace

RESPONSE_LENGTH = Signal("response_length", SignalKind.LENGTH, "tokens", "how long the answer is")


def observe_length(trace: Trace) -> Observation | None:
    """Return the output tokens of an answered call, whether its text came along or not.

    The tokens of an answer that calls tools are its arguments, not prose: how often tools are
    called would look like a change of length, so such an answer is not observed.

    Tokens a producer reports and words counted here are different units: the source is
    the scorer's version, so a producer that stops reporting does not look like a drift.
    """
    if trace.output_tokens is None or trace.error is not None or trace.calls_tools:
        return None
    return Observation(RESPONSE_LENGTH.name, trace.output_tokens_source.value, float(trace.output_tokens))
