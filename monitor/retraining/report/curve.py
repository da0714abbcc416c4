"""How the loss went, from what the run said while it trained."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, BOTTOM = 720.0, 200.0, 56.0, 24.0
MOST_POINTS = 400  # of one line
_NUMBER = r"\d{1,9}(?:\.\d+)?"
_SAID = re.compile(
    r"(?:(?P<who>[^\n]{1,60}?)[:,] )?step (?P<step>\d{1,9}) of \d{1,9}(?P<watched>: watched|,)"
    rf" loss (?P<loss>{_NUMBER})"
)


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: str  # as SVG's polyline takes them
    last: float


@dataclass(frozen=True, slots=True)
class Curves:
    lines: tuple[Line, ...]
    steps: int
    least: float
    most: float
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = BOTTOM


def draw_curves(log: Iterable[str]) -> Curves | None:
    """Return the loss by step of each line of training in *log*; None where none has two steps."""
    told: dict[str, dict[int, float]] = defaultdict(dict)
    for text in log:
        found = _SAID.match(text)
        if found is not None:
            name = f"{found['who'] or 'training'}{', held-out loss' if found['watched'] != ',' else ', loss'}"
            told[name][int(found["step"])] = float(found["loss"])
    series = {name: _thinned(sorted(points.items())) for name, points in told.items() if len(points) > 1}
    if not series:
        return None
    steps = max(points[-1][0] for points in series.values())
    losses = [loss for points in series.values() for _, loss in points]
    least, most = min(losses), max(losses)
    height = most - least or 1.0

    def place(step: int, loss: float) -> str:
        across = LEFT + (WIDTH - LEFT - 8) * step / max(steps, 1)
        return f"{across:.1f},{8 + (HEIGHT - BOTTOM - 8) * (most - loss) / height:.1f}"

    lines = tuple(Line(name, " ".join(place(*at) for at in points), points[-1][1]) for name, points in series.items())
    return Curves(lines, steps, least, most)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    stride = -(-len(points) // MOST_POINTS)
    return points if stride == 1 else [*points[:-1:stride], points[-1]]
