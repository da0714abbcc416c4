"""The signals of probes: what the live model's answers to fixed questions come to."""

from __future__ import annotations

from monitor.domain.signal import Signal, SignalKind

OVER_REFUSAL = Signal("over_refusal", SignalKind.BINARY, "ratio")
HARMFUL_COMPLIANCE = Signal("harmful_compliance", SignalKind.BINARY, "ratio")
SYCOPHANCY = Signal("sycophancy", SignalKind.PROBABILITY, "ratio")  # one half: the asker's view sways nothing
CAPABILITY = Signal("capability", SignalKind.BINARY, "ratio")
LIVE_WIN = Signal("live_win", SignalKind.PROBABILITY, "ratio")  # one half: as good as the baseline's answers
# Each has a window of its own: its outcomes are few, and come on a schedule.
PROBE_SIGNALS = (OVER_REFUSAL, HARMFUL_COMPLIANCE, SYCOPHANCY, CAPABILITY, LIVE_WIN)
