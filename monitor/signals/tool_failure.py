"""Whether a tool that the model called gave an error back: the binary signal `tool_failure`."""

from __future__ import annotations

import re

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import Trace

TOOL_FAILURE = Signal(
    "tool_failure", SignalKind.BINARY, "ratio", "a tool's result that the model was given is an error"
)
VERSION = "results-1"  # raise it with every change of what is an error
TOOL_ROLES = frozenset({"tool", "function"})
_OPENING = 300  # characters of a result, in which an error is told
_ERROR = re.compile(
    r"[^\w{\[]*(?:error|exception|traceback \(most recent|failed\b|failure\b|tool (?:call )?(?:failed|error))"
    r"|\s*\{\s*\"(?:error|errors|exception|error_message)\"\s*:(?!\s*(?:null|false|\[\]|\"\"|\{\}))"
    r"|.*\"(?:is_?error|isError)\"\s*:\s*true|.*\"(?:status|success|ok)\"\s*:\s*(?:\"(?:error|failed|failure)\"|false)"
    r"|\s*http (?:error )?[45]\d\d\b",
    re.IGNORECASE | re.DOTALL,
)


def observe_tool_failure(trace: Trace) -> Observation | None:
    """Observe a call that was given results of tools: those after the model's last message, told by how they open.

    A failure that a tool words in its own way is not seen; what is watched is a change of the rate.
    """
    results = []
    for message in reversed(trace.messages):
        if message.role not in TOOL_ROLES:
            break
        results.append(message.content)
    if not results:
        return None
    return Observation(TOOL_FAILURE.name, VERSION, float(any(_ERROR.match(text[:_OPENING]) for text in results)))
