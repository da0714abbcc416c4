"""The data file of a learned refusal model: what it weighs, how it is calibrated, and the card that says whence."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidInput
from monitor.signals.refusal import features

Floats = NDArray[np.float64]
WEIGHTS_FILE = "refusal.json.gz"  # in a folder of weights
SHIPPED = Path(__file__).parent / "english" / WEIGHTS_FILE
TOKEN_VALUE = 0.3  # of a token that is there: a number is of the order of 1, and there are far fewer of them


class RefusalWeights(msgspec.Struct, frozen=True, omit_defaults=True):
    """Two regressions on the features: whether an answer refuses, and whether in full if it does."""

    features: str  # their version
    tokens: Mapping[str, tuple[float, float]]  # weight of each in the one and in the other
    numbers: Mapping[str, tuple[float, float]]  # likewise, by the name in `features.DENSE`
    intercepts: tuple[float, float]
    slope: float  # of the first one's calibration, which is a + b z
    offset: float
    least_weighed: int | None  # of an answer's words, where no phrase declines: one below is not read to the end
    unread: tuple[float, float]  # the probabilities of such an answer, of refusing and of doing so in full
    card: Mapping[str, Any]  # what it was trained on and how well it did there
    least_uncued: int | None = None  # of the words of an answer without any cue of a refusal; None: none such is read

    def dense(self) -> Floats:
        """Return the weights of the numbers, (numbers, 2), in their order."""
        return np.array([self.numbers[name] for name in features.DENSE])

    def table(self) -> tuple[dict[str, int], Floats]:
        """Return the row of each token, and the rows, (tokens + 1, 2): the first is that of a token without one."""
        rows = np.array([(0.0, 0.0), *self.tokens.values()], dtype=np.float64)
        return {token: row for row, token in enumerate(self.tokens, 1)}, rows


def write_weights(path: Path, weights: RefusalWeights) -> str:
    """Write the file, the same bytes for the same weights; return the SHA-256 of what it holds."""
    content = msgspec.json.encode(weights, order="sorted")
    path.write_bytes(gzip.compress(content, mtime=0))
    return hashlib.sha256(content).hexdigest()


def read_weights(path: Path) -> tuple[RefusalWeights, str]:
    """Return the weights in *path* and the SHA-256 of the content; raises `InvalidInput` where there are none."""
    try:
        content = gzip.decompress(path.read_bytes())
        weights = msgspec.json.decode(content, type=RefusalWeights)
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{path}: no weights of a refusal model: {error}") from None
    if weights.features != features.VERSION:
        raise InvalidInput(
            f"{path}: made for features {weights.features!r}, not {features.VERSION!r}, which are read now; train again"
        )
    missing = [name for name in features.DENSE if name not in weights.numbers]
    if missing:
        raise InvalidInput(f"{path}: no weight for {', '.join(missing)}; train it again")
    return weights, hashlib.sha256(content).hexdigest()
