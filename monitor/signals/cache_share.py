"""Which share of the prompt's tokens the provider had in its cache: the signal `cache_share`."""

from __future__ import annotations

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace

CACHE_SHARE = Signal(
    "cache_share", SignalKind.PROBABILITY, "ratio", "share of the prompt's tokens that the provider had in its cache"
)
VERSION = "reported"


def observe_cache_share(trace: Trace) -> Observation | None:
    """Observe a call whose producer tells both counts; one that tells of no cache says nothing, not zero."""
    if trace.cached_input_tokens is None or not trace.input_tokens or trace.error is not None:
        return None
    return Observation(CACHE_SHARE.name, VERSION, min(1.0, trace.cached_input_tokens / trace.input_tokens))
