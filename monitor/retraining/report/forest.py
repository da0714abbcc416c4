"""Every check's interval beside its margin, as places in a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.domain.job import Check, Span

LEFT, RIGHT = -1.5, 2.0  # of the axis, in margins; worse is to the right
ROW_HEIGHT, HEAD = 26, 34
NAME_WIDTH, PLOT_WIDTH, TOLD_WIDTH = 230, 420, 250


@dataclass(frozen=True, slots=True)
class ForestRow:
    name: str
    told: str
    passed: bool
    y: float
    start: float
    middle: float
    stop: float
    off_left: bool  # the interval goes on beyond the picture
    off_right: bool
    other: float | None  # the bound of the other side, where it has one within the picture


@dataclass(frozen=True, slots=True)
class Forest:
    rows: tuple[ForestRow, ...]
    width: float
    height: float
    even: float  # where nothing differs
    margin: float
    left: float
    right: float


def draw_forest(checks: Iterable[Check]) -> Forest | None:
    """Return the picture of the checks that have an interval; None where none has.

    Each row is drawn in its own margin, so that one axis serves all: at 0 nothing differs, at 1 the margin ends.
    """
    held = [(check, check.span) for check in checks if check.span is not None and _margin(check.span)]
    if not held:
        return None
    rows = tuple(_row(check, span, number) for number, (check, span) in enumerate(held))
    return Forest(
        rows=rows,
        width=NAME_WIDTH + PLOT_WIDTH + TOLD_WIDTH,
        height=HEAD + ROW_HEIGHT * len(rows) + 8,
        even=_place(0.0),
        margin=_place(1.0),
        left=_place(LEFT),
        right=_place(RIGHT),
    )


def _row(check: Check, span: Span, number: int) -> ForestRow:
    scale = _margin(span)
    ends = sorted((span.lower / scale, span.upper / scale))
    other = span.least / scale if span.least is not None and span.most is not None else None
    unit = "%" if span.unit == "%" else f" {span.unit}"
    return ForestRow(
        name=check.name,
        told=f"{span.middle:+.3g}{unit} ({span.lower:+.3g} to {span.upper:+.3g})",
        passed=check.passed,
        y=HEAD + ROW_HEIGHT * (number + 0.5),
        start=_place(ends[0]),
        middle=_place(span.middle / scale),
        stop=_place(ends[1]),
        off_left=ends[0] < LEFT,
        off_right=ends[1] > RIGHT,
        other=_place(other) if other is not None and other > LEFT else None,
    )


def _margin(span: Span) -> float:
    """Return the main bound with the sign that is worse: a gain's where there is one, else a loss's."""
    return span.most if span.most is not None else span.least or 0.0


def _place(value: float) -> float:
    within = min(max(value, LEFT), RIGHT)
    return round(NAME_WIDTH + PLOT_WIDTH * (within - LEFT) / (RIGHT - LEFT), 1)
