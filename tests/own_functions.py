"""Functions that tests name in `signals.own`, as an operator would write them."""

from __future__ import annotations

import sys
from typing import Any

from monitor.domain.trace import Trace


def words(trace: Trace) -> int | None:
    return None if trace.response is None else len(trace.response.split())


def is_even(trace: Trace) -> bool:
    return int(trace.trace_id.removeprefix("t-")) % 2 == 0


def breaks_on_odd(trace: Trace) -> float:
    return 1.0 / (int(is_even(trace)))


def says_text(trace: Trace) -> Any:
    return "many"


def says_nan(trace: Trace) -> float:
    return float("nan")


def leaves(trace: Trace) -> None:
    sys.exit(3)


def changes_labels(trace: Trace) -> int:
    trace.cohort["dataset"] = "mine"  # type: ignore[index]
    return 1


NOT_A_FUNCTION = 3
