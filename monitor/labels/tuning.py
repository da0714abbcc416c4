"""What earlier blocks of labels teach: how the cheap opinion is turned into a prediction, and what length explains."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.stats.length_control import CENTRE, PRIOR, length_slope, shortened

Floats = NDArray[np.float64]
MEMORY = 1000.0  # labels after which a teaching has faded to a third: an ensemble that breaks must lose its weight
LEAST_PREDICTION, MOST_PREDICTION = 0.1, 0.9  # The nearer to one half, the less a label can add to it.
SILENCE = 10.0  # labels that should have come at the usual rate: without any, nobody labels any more
LENGTH_LABELS = 100  # from which the part of the verdicts that length explains is frozen


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is known of the labelled traces of one block; arrays (n,)."""

    cheap: Floats  # 0 to 1; NaN where there is no opinion
    probability: Floats  # with which each was selected
    value: Floats  # the verdict, 0 to 1
    gap: Floats  # log ratio of words, answer to reference; NaN where there is no reference


@dataclass(frozen=True, slots=True)
class Tuning:
    """Weighted sums over the labelled traces of earlier blocks; frozen.

    A prediction m = a + c (f - 1/2) leaves g = m + (xi / pi) (y - m) unbiased whatever a and c are, as long as they are
    not made of the same block. Var g = Var y + E (1/pi - 1)(y - m)^2, so least squares with the weights
    (1/pi)(1/pi - 1) make it least.

    References: Angelopoulos, Duchi, Zrnic, "PPI++", arXiv 2311.01453, section 6 (power tuning).
    """

    items_ever: int = 0  # traces of blocks
    labels_ever: int = 0
    unlabelled: int = 0  # traces since the last label
    labels: float = 0.0
    weight: float = 0.0
    y: float = 0.0
    known_weight: float = 0.0  # of those with an opinion
    f: float = 0.0  # of their opinions less CENTRE, and so on
    ff: float = 0.0
    known_y: float = 0.0
    fy: float = 0.0
    length_slope: float | None = None  # of a verdict on `shortened` gaps; frozen once LENGTH_LABELS are there
    gap_rows: tuple[tuple[float, float, float], ...] = ()  # (1/pi, shortened gap, y), until then

    def predict(self, cheap: Floats) -> Floats:
        """Return what is expected of each verdict, (n,), given the opinions *cheap* (n,)."""
        unit = self.weight / self.labels if self.labels else 1.0
        prior = PRIOR * max(unit, 1e-12)
        mean = (self.y + prior * CENTRE) / (self.weight + prior)
        weight, f, ff = self.known_weight + prior, self.f, self.ff + prior / 12.0  # an opinion spread over 0 to 1
        y, fy = self.known_y + prior * CENTRE, self.fy
        slope = (weight * fy - f * y) / (weight * ff - f * f)
        said = (y - slope * f) / weight + slope * (cheap - CENTRE)
        return np.clip(np.where(np.isnan(cheap), mean, said), LEAST_PREDICTION, MOST_PREDICTION)

    def is_silent(self, items: int, *, labelled: int) -> bool:
        """Say whether a block of *items* traces comes when nobody labels: none is labelled, and some should be.

        What is usual is told by the traces up to the last label: a silence that counted itself would never be one.
        """
        if labelled or not self.labels_ever:
            return not labelled
        usual = self.labels_ever / (self.items_ever - self.unlabelled)
        return (self.unlabelled + items) * usual > SILENCE

    def passed(self, items: int, labelled: int) -> Tuning:
        """Return what is known after a block of *items* traces, *labelled* of them."""
        return replace(
            self,
            items_ever=self.items_ever + items,
            labels_ever=self.labels_ever + labelled,
            unlabelled=0 if labelled else self.unlabelled + items,
        )

    def after(self, seen: Labelled) -> Tuning:
        """Return what is known once the block's labels *seen* are too."""
        count = len(seen.value)
        if not count:
            return self
        kept = float(np.exp(-count / MEMORY))
        odds = 1.0 / seen.probability
        weights = odds * (odds - 1.0)
        known = ~np.isnan(seen.cheap)
        own, f = weights[known], seen.cheap[known] - CENTRE
        y = seen.value[known]
        learnt = replace(
            self,
            labels=kept * self.labels + count,
            weight=kept * self.weight + float(weights.sum()),
            y=kept * self.y + float((weights * seen.value).sum()),
            known_weight=kept * self.known_weight + float(own.sum()),
            f=kept * self.f + float((own * f).sum()),
            ff=kept * self.ff + float((own * f * f).sum()),
            known_y=kept * self.known_y + float((own * y).sum()),
            fy=kept * self.fy + float((own * f * y).sum()),
        )
        return learnt if self.length_slope is not None else learnt._measured(odds, seen)

    def _measured(self, odds: Floats, seen: Labelled) -> Tuning:
        """Gather labels until they are enough to say what length explains; then freeze it."""
        told = ~np.isnan(seen.gap)
        columns = odds[told], shortened(seen.gap[told]), seen.value[told]
        rows = self.gap_rows + tuple(zip(*(column.tolist() for column in columns), strict=True))
        if len(rows) < LENGTH_LABELS:
            return replace(self, gap_rows=rows)
        return replace(self, gap_rows=(), length_slope=length_slope(*np.array(rows).T))

    def to_bytes(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, content: bytes) -> Tuning:
        return msgspec.msgpack.decode(content, type=cls)
