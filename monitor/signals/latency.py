"""How long an answer took: `latency` to its end, and `first_token_latency` to its beginning where it was streamed."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace

# In milliseconds: the scale of lengths is logarithmic well above one.
LATENCY = Signal("latency", SignalKind.LENGTH, "ms", "how long an answer took to its end")
FIRST_TOKEN_LATENCY = Signal(
    "first_token_latency", SignalKind.LENGTH, "ms", "how long a streamed answer took to its first token"
)
VERSION = "reported"


def observe_latency(trace: Trace) -> Observation | None:
    """Observe an answered call: how long a failure takes is a time-out's setting, and `error` counts it."""
    if trace.latency_seconds is None or trace.error is not None:
        return None
    return Observation(LATENCY.name, VERSION, 1e3 * trace.latency_seconds)


def observe_first_token_latency(trace: Trace) -> Observation | None:
    if trace.first_token_seconds is None or trace.error is not None:
        return None
    return Observation(FIRST_TOKEN_LATENCY.name, VERSION, 1e3 * trace.first_token_seconds)
