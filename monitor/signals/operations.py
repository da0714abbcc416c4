"""The optional signals of how calls are served; `cost` stands apart, since it wants a table of prices."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.cache_share import CACHE_SHARE, observe_cache_share
from monitor.signals.latency import FIRST_TOKEN_LATENCY, LATENCY, observe_first_token_latency, observe_latency
from monitor.signals.tool_failure import TOOL_FAILURE, observe_tool_failure

OPERATIONS: dict[Signal, Callable[[Trace], Observation | None]] = {
    LATENCY: observe_latency,
    FIRST_TOKEN_LATENCY: observe_first_token_latency,
    CACHE_SHARE: observe_cache_share,
    TOOL_FAILURE: observe_tool_failure,
}
