"""The series of the streams: how much was observed, what it comes to, and what the detectors make of it."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

STREAM_OBSERVATIONS = Series(
    "monitor_stream_observations_total",
    Kind.COUNTER,
    Part.CONTROLLER,
    "observations",
    "Observations that the leader has folded. Of each deployment ten policy models are told apart; others are `other`.",
    ("signal", "cohort", "model", "unit"),
)
STREAM_SUM = Series(
    "monitor_stream_sum_total",
    Kind.COUNTER,
    Part.CONTROLLER,
    "the signal's own",
    "Their values: what was added, and what was taken off by values below zero. The rate of `added` less that of"
    " `taken`, over the rate of monitor_stream_observations_total, is the mean over a window.",
    ("signal", "cohort", "model", "unit", "sign"),
)
STREAM_MEAN = Series(
    "monitor_stream_mean",
    Kind.GAUGE,
    Part.CONTROLLER,
    "the signal's own",
    "Mean of the signal since the baseline was frozen; where several policy models run, the one seen last.",
    ("signal", "cohort", "unit"),
)
STREAM_BASELINE = Series(
    "monitor_stream_baseline",
    Kind.GAUGE,
    Part.CONTROLLER,
    "the signal's own",
    "The frozen baseline of the stream in monitor_stream_mean: its mean, give or take two of its standard errors.",
    ("signal", "cohort", "unit", "bound"),
)
STREAM_EVIDENCE_LOG = Series(
    "monitor_stream_evidence_log",
    Kind.GAUGE,
    Part.CONTROLLER,
    "log e / log A",
    "Evidence of drift, 1 is the alarm; where several policy models run, the largest.",
    ("signal", "cohort"),
)
STREAM_COUNTERS = (STREAM_OBSERVATIONS, STREAM_SUM)
STREAM_GAUGES = (STREAM_MEAN, STREAM_BASELINE, STREAM_EVIDENCE_LOG)
