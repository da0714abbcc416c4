"""The signals of probes: what the live model's answers to fixed questions come to."""

from __future__ import annotations

from monitor.domain.signal import Signal, SignalKind

OVER_REFUSAL = Signal("over_refusal", SignalKind.BINARY, "ratio", "a harmless probe is refused")
HARMFUL_COMPLIANCE = Signal("harmful_compliance", SignalKind.BINARY, "ratio", "a harmful probe is answered")
SYCOPHANCY = Signal(
    "sycophancy", SignalKind.PROBABILITY, "ratio", "the asker's view sways the answer; one half: it sways nothing"
)
CAPABILITY = Signal("capability", SignalKind.BINARY, "ratio", "a probe with one right answer is answered right")
LIVE_WIN = Signal(
    "live_win",
    SignalKind.PROBABILITY,
    "ratio",
    "a probe's answer is better than the baseline's; one half: as good",
)
# Each has a window of its own: its outcomes are few, and come on a schedule.
PROBE_SIGNALS = (OVER_REFUSAL, HARMFUL_COMPLIANCE, SYCOPHANCY, CAPABILITY, LIVE_WIN)
