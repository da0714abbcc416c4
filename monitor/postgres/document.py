"""Values and texts as JSONB and Text columns take them."""

from __future__ import annotations

import math
from typing import Any

import msgspec

MAX_TEXT_CHARACTERS = 2_000  # of an error or a note


def document(value: object) -> Any:
    """Return *value* as JSON that JSONB takes: NaN and infinity become the words "nan", "inf", "-inf"."""
    return _storable(msgspec.to_builtins(value))


def clean(text: str) -> str:
    """Return *text* as a Text column takes it: no NUL, no lone surrogate, not endless."""
    return storable_text(text[:MAX_TEXT_CHARACTERS])


def storable_text(text: str) -> str:
    """Return *text* as a Text column takes it, however long."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
