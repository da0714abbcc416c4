"""Every Prometheus series, declared once, on the registry it is given."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.domain.alarm import Severity
from monitor.domain.job import Action, JobState
from monitor.domain.stream import StreamStatus
from monitor.domain.text import for_metric
from monitor.signals.table import SIGNALS


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """Which part of the daemon writes a series."""

    WORKER = "worker"
    CONTROLLER = "controller"


class TraceOutcome(StrEnum):
    COUNTED = "counted"  # stored, and an observation of its streams
    REPEATED = "repeated"  # stored, but its conversation or prompt was counted inside the window
    DUPLICATE = "duplicate"  # its trace id was stored before
    INVALID = "invalid"  # a dead letter


class PreferenceOutcome(StrEnum):
    COUNTED = "counted"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


class Stage(StrEnum):
    POLL = "poll"
    DECODE = "decode"
    SCORE = "score"
    OBSERVE = "observe"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Series:
    """A declaration: the name as scraped, and what a reader of the number must know."""

    name: str
    kind: Kind
    part: Part
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper edges, histograms only


_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCH_TOKENS = tuple(float(2**power) for power in range(6, 18))

TRACES = Series(
    "monitor_traces_total",
    Kind.COUNTER,
    Part.WORKER,
    "traces",
    "Records read from the trace topics, by what became of them; a replayed record is counted again.",
    ("outcome",),
)
PREFERENCES = Series(
    "monitor_preferences_total",
    Kind.COUNTER,
    Part.WORKER,
    "preferences",
    "Preference events read, by what became of them.",
    ("outcome",),
)
DEAD_LETTERS = Series(
    "monitor_dead_letters_total",
    Kind.COUNTER,
    Part.WORKER,
    "records",
    "Records written to the dead-letter topic, by the reason they were rejected.",
    ("reason",),
)
SKIPPED = Series(
    "monitor_skipped_total",
    Kind.COUNTER,
    Part.WORKER,
    "pieces",
    "Sound pieces of records that are not for us, such as other spans and cache hits, by the reason.",
    ("reason",),
)
LOST_RECORDS = Series(
    "monitor_lost_records_total",
    Kind.COUNTER,
    Part.WORKER,
    "records",
    "Offsets that were gone from the topic, deleted by retention, before they were read.",
    ("topic",),
)
REPLACED_LOGS = Series(
    "monitor_replaced_logs_total",
    Kind.COUNTER,
    Part.WORKER,
    "partitions",
    "Partitions whose log was not the one that was read: created again, or cut and grown anew.",
    ("topic",),
)
STAGE_SECONDS = Series(
    "monitor_stage_seconds",
    Kind.HISTOGRAM,
    Part.WORKER,
    "seconds",
    "Time one batch spends in a stage of the worker.",
    ("stage",),
    _STAGE_SECONDS,
)
KAFKA_LAG = Series(
    "monitor_kafka_lag",
    Kind.GAUGE,
    Part.WORKER,
    "records",
    "Records in an assigned partition that are not checkpointed yet; revoked partitions are not exported.",
    ("topic", "partition"),
)
SCORED_TOKENS = Series(
    "monitor_scored_tokens_total",
    Kind.COUNTER,
    Part.WORKER,
    "tokens",
    "Real tokens, padding excluded, that the reward ensemble has read, summed over its members.",
)
REWARD_BATCH_TOKENS = Series(
    "monitor_reward_batch_tokens",
    Kind.HISTOGRAM,
    Part.WORKER,
    "tokens",
    "Padded tokens of one forward pass of the reward ensemble.",
    buckets=_BATCH_TOKENS,
)
ENSEMBLE_DISAGREEMENT = Series(
    "monitor_ensemble_disagreement",
    Kind.GAUGE,
    Part.WORKER,
    "reward",
    "Mean standard deviation over the ensemble's members in the last scored batch.",
)
STREAM_MEAN = Series(
    "monitor_stream_mean",
    Kind.GAUGE,
    Part.CONTROLLER,
    "the signal's own",
    "Mean of the signal since the baseline was frozen; where several policy models run, the one seen last.",
    ("signal", "cohort"),
)
STREAM_BASELINE = Series(
    "monitor_stream_baseline",
    Kind.GAUGE,
    Part.CONTROLLER,
    "the signal's own",
    "The frozen baseline of the stream in monitor_stream_mean: its mean and the ends of the null interval.",
    ("signal", "cohort", "bound"),
)
STREAM_EVIDENCE_LOG = Series(
    "monitor_stream_evidence_log",
    Kind.GAUGE,
    Part.CONTROLLER,
    "log e / log A",
    "Evidence of drift, 1 is the alarm; where several policy models run, the largest.",
    ("signal", "cohort"),
)
ALARMS_OPEN = Series(
    "monitor_alarms_open",
    Kind.GAUGE,
    Part.CONTROLLER,
    "alarms",
    "Drift alarms that nobody has acknowledged and no new baseline has superseded.",
    ("signal", "severity"),
)
FOLD_LAG_TRACES = Series(
    "monitor_fold_lag_traces",
    Kind.GAUGE,
    Part.CONTROLLER,
    "traces",
    "Checkpointed traces that the detectors have not folded yet; 0 on processes that do not lead.",
)
JOBS = Series(
    "monitor_jobs",
    Kind.GAUGE,
    Part.CONTROLLER,
    "jobs",
    "Retraining jobs by action and state, final states included.",
    ("action", "status"),
)
LAST_REFRESH = Series(
    "monitor_last_refresh_timestamp_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds since the epoch",
    "When a reward model was last promoted; 0 if never, and on processes that do not lead.",
)
LEADER = Series(
    "monitor_leader",
    Kind.GAUGE,
    Part.CONTROLLER,
    "1 or 0",
    "1 while this process holds the controller's lock; over all processes the sum must be 1.",
)

SERIES: tuple[Series, ...] = (
    TRACES,
    PREFERENCES,
    DEAD_LETTERS,
    SKIPPED,
    LOST_RECORDS,
    REPLACED_LOGS,
    STAGE_SECONDS,
    KAFKA_LAG,
    SCORED_TOKENS,
    REWARD_BATCH_TOKENS,
    ENSEMBLE_DISAGREEMENT,
    STREAM_MEAN,
    STREAM_BASELINE,
    STREAM_EVIDENCE_LOG,
    ALARMS_OPEN,
    FOLD_LAG_TRACES,
    JOBS,
    LAST_REFRESH,
    LEADER,
)


class Metrics:
    """The series of one process.

    The `count_` and `observe_` methods are safe from any thread; the `show_`
    methods replace what was shown and belong to one thread each: lag to the
    worker's, the rest to the controller's. Outcomes are exported from 0, so a
    rate sees the first increment; what only a leader knows, by a leader alone.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._traces = _counter(TRACES, registry)
        self._preferences = _counter(PREFERENCES, registry)
        self._dead_letters = _counter(DEAD_LETTERS, registry)
        self._skipped = _counter(SKIPPED, registry)
        self._lost_records = _counter(LOST_RECORDS, registry)
        self._replaced_logs = _counter(REPLACED_LOGS, registry)
        self._stage_seconds = _histogram(STAGE_SECONDS, registry)
        self._kafka_lag = _Table(KAFKA_LAG, registry)
        self._scored_tokens = _counter(SCORED_TOKENS, registry)
        self._reward_batch_tokens = _histogram(REWARD_BATCH_TOKENS, registry)
        self._ensemble_disagreement = _gauge(ENSEMBLE_DISAGREEMENT, registry)
        self._stream_mean = _Table(STREAM_MEAN, registry)
        self._stream_baseline = _Table(STREAM_BASELINE, registry)
        self._stream_evidence_log = _Table(STREAM_EVIDENCE_LOG, registry)
        self._alarms_open = _Table(ALARMS_OPEN, registry)
        self._fold_lag_traces = _gauge(FOLD_LAG_TRACES, registry)
        self._jobs = _Table(JOBS, registry)
        self._last_refresh = _gauge(LAST_REFRESH, registry)
        self._leader = _gauge(LEADER, registry)
        for trace_outcome in TraceOutcome:
            self._traces.labels(trace_outcome)
        for preference_outcome in PreferenceOutcome:
            self._preferences.labels(preference_outcome)
        for stage in Stage:
            self._stage_seconds.labels(stage)

    def count_traces(self, outcome: TraceOutcome, count: int = 1) -> None:
        self._traces.labels(outcome).inc(count)

    def count_preferences(self, outcome: PreferenceOutcome, count: int = 1) -> None:
        self._preferences.labels(outcome).inc(count)

    def count_dead_letters(self, reason: str, count: int = 1) -> None:
        """Count dead letters; *reason* is `InvalidTrace.reason`, one of a bounded set of words."""
        self._dead_letters.labels(reason).inc(count)

    def count_skipped(self, reason: str, count: int) -> None:
        self._skipped.labels(reason).inc(count)

    def count_lost_records(self, topic: str, count: int) -> None:
        self._lost_records.labels(topic).inc(count)

    def count_replaced_logs(self, topic: str, count: int) -> None:
        self._replaced_logs.labels(topic).inc(count)

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        self._stage_seconds.labels(stage).observe(seconds)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Observe how long the block takes, also where it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe_stage(stage, time.perf_counter() - started)

    def count_scored_tokens(self, tokens: int) -> None:
        self._scored_tokens.inc(tokens)

    def observe_reward_batch(self, padded_tokens: int) -> None:
        self._reward_batch_tokens.observe(padded_tokens)

    def show_disagreement(self, mean: float) -> None:
        self._ensemble_disagreement.set(mean)

    def show_lag(self, records: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of the partitions assigned now, keyed by topic and partition."""
        self._kafka_lag.show({(topic, str(number)): lag for (topic, number), lag in records.items()})

    def show_streams(self, statuses: Iterable[StreamStatus]) -> None:
        """Show one row for each signal and cohort; policy models are joined as the help texts say."""
        latest: dict[tuple[str, ...], StreamStatus] = {}
        evidence: dict[tuple[str, ...], float] = {}
        for status in sorted(statuses, key=lambda status: status.last_timestamp):
            labels = (status.key.signal, status.key.cohort)
            latest[labels] = status
            evidence[labels] = max(evidence.get(labels, status.evidence_log), status.evidence_log)
        self._stream_mean.show({labels: status.mean for labels, status in latest.items()})
        self._stream_baseline.show(
            {(*labels, bound): value for labels, status in latest.items() for bound, value in _bounds(status)}
        )
        self._stream_evidence_log.show(evidence)

    def show_alarms(self, open_alarms: Mapping[tuple[str, Severity], int]) -> None:
        """Show the open alarms by signal and severity; what is not in the mapping is 0."""
        known = {(signal, severity) for signal in SIGNALS for severity in Severity} | open_alarms.keys()
        self._alarms_open.show({labels: open_alarms.get(labels, 0) for labels in known})

    def show_jobs(self, jobs: Mapping[tuple[Action, JobState], int]) -> None:
        """Show the jobs by action and state; what is not in the mapping is 0."""
        self._jobs.show({(action, state): jobs.get((action, state), 0) for action in Action for state in JobState})

    def show_fold_lag(self, traces: int) -> None:
        self._fold_lag_traces.set(traces)

    def show_last_refresh(self, at: datetime | None) -> None:
        self._last_refresh.set(0.0 if at is None else at.timestamp())

    def show_leader(self, *, leads: bool) -> None:
        """Show who leads; a process that stops leading also withdraws what only a leader knows."""
        self._leader.set(leads)
        if leads:
            return
        self.show_fold_lag(0)
        self.show_last_refresh(None)
        for table in (
            self._stream_mean,
            self._stream_baseline,
            self._stream_evidence_log,
            self._alarms_open,
            self._jobs,
        ):
            table.show({})


class _Table:
    """A labelled gauge; rows that are no longer shown are withdrawn."""

    def __init__(self, series: Series, registry: CollectorRegistry) -> None:
        self._gauge = _gauge(series, registry)
        self._rows: set[tuple[str, ...]] = set()

    def show(self, rows: Mapping[tuple[str, ...], float]) -> None:
        escaped = {tuple(for_metric(text) for text in labels): value for labels, value in rows.items()}
        for labels, value in escaped.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._rows - escaped.keys():
            self._gauge.remove(*labels)
        self._rows = set(escaped)


def _bounds(status: StreamStatus) -> Sequence[tuple[str, float]]:
    return ("lower", status.baseline_lower), ("mean", status.baseline_mean), ("upper", status.baseline_upper)


def _counter(series: Series, registry: CollectorRegistry) -> Counter:
    return Counter(series.name, series.help, series.labels, registry=registry)


def _gauge(series: Series, registry: CollectorRegistry) -> Gauge:
    return Gauge(series.name, series.help, series.labels, registry=registry)


def _histogram(series: Series, registry: CollectorRegistry) -> Histogram:
    return Histogram(series.name, series.help, series.labels, registry=registry, buckets=series.buckets)
