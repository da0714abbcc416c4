"""A Python function as a signal."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import msgspec

from monitor.domain.signal import SignalKind
from monitor.domain.trace import Trace
from monitor.own.answer import BatchRead, each
from monitor.own.definition import function_of
from monitor.settings.own import OwnSignal


def read_function(own: OwnSignal, kind: SignalKind) -> BatchRead:
    """Return the reader of *own*; raises `InvalidSetting` where the function is not there.

    It is given the trace with its labels read-only: all else of a trace is frozen anyway.
    """
    function = function_of(own)

    def read(trace: Trace) -> Any:
        return function(msgspec.structs.replace(trace, cohort=MappingProxyType(dict(trace.cohort))))

    return each(read, kind)
