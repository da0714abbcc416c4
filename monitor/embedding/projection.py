"""Long vectors made short enough to be logged with each trace."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Projection:
    """From vectors of *width* to *dimensions*, which keeps inner products up to a standard error of dimensions^-1/2.

    Each number of the short vector is a sum of the long one's with signs drawn once for ever: they
    are read from SHAKE-256, so that every machine has the same. A vector no longer than
    *dimensions* stays as it is.

    References
    ----------
    Achlioptas, Database-friendly random projections (2003), theorem 1.1 with its signs.
    """

    width: int
    dimensions: int

    @property
    def version(self) -> str:
        return str(self.width) if self.width <= self.dimensions else f"{self.width}to{self.dimensions}"

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float16]:
        """Return *vectors*, one a row, at unit length, then projected; a row with NaN, or of length 0, is NaN."""
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        short = unit if self.width <= self.dimensions else unit @ signs(self.width, self.dimensions)
        kept: NDArray[np.float16] = short.astype(np.float16)
        return kept


@cache
def signs(width: int, dimensions: int) -> NDArray[np.float32]:
    """Return the matrix of the projection, (width, dimensions): each +-1 / sqrt(dimensions)."""
    drawn = shake_256(f"rlhf-monitor {width} {dimensions}".encode()).digest(-(-width * dimensions // 8))
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8), count=width * dimensions)
    matrix: NDArray[np.float32] = ((2.0 * bits - 1.0) / np.sqrt(dimensions)).astype(np.float32)
    return matrix.reshape(width, dimensions)
