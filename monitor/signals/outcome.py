"""How the call ended: with an error, or cut off by the length limit."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace

ERROR = Signal("error", SignalKind.BINARY, "ratio", "the call failed")
TRUNCATION = Signal("truncation", SignalKind.BINARY, "ratio", "the limit of length cut the answer off")
VERSION = "reported"
CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens"})


def observe_error(trace: Trace) -> Observation:
    return Observation(ERROR.name, VERSION, float(trace.error is not None))


def observe_truncation(trace: Trace) -> Observation | None:
    if trace.finish_reason is None:
        return None
    return Observation(TRUNCATION.name, VERSION, float(trace.finish_reason.lower() in CUT_OFF))
