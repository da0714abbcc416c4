"""How a text-classification folder is read, and the shape of what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reads = Literal["answer", "exchange"]


@dataclass(frozen=True, slots=True)
class FolderForm:
    """How a folder is read."""

    folder: Path
    reads: Reads = "answer"  # alone, or what was asked and the answer as a pair of texts
    max_tokens: int = 512
    batch_tokens: int = 8192
    device: str = "auto"
