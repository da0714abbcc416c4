"""A change of the active baseline, worked out before the transaction that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BaselineExtension:
    """The active baseline's laws with a further scorer's, true only for the revision they were made from."""

    baseline_id: int
    revision: int
    content: Any  # JSON, as the baseline keeps it
