"""Which kinds of prompts are asked: observed by the fold, against the kinds of a baseline's window."""

from __future__ import annotations

from monitor.domain.signal import Signal, SignalKind

INPUT_SHIFT = Signal("input_shift", SignalKind.MIX, "distance", "how far what is asked lies from the baseline's window")
VERSION = "kinds-1"
