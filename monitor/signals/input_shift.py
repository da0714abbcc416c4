"""Which kinds of prompts are asked: observed by the fold, against the kinds of a baseline's window."""

from __future__ import annotations

from monitor.domain.signal import Signal, SignalKind

INPUT_SHIFT = Signal("input_shift", SignalKind.MIX, "distance")
VERSION = "kinds-1"
