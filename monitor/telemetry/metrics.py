"""What one process of the daemon exports, on the registry it is given."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from math import nan

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.domain.alarm import Severity, StoredAlarm, shown_change
from monitor.domain.incident import Incident, told_by
from monitor.domain.job import Action, JobState, RunProgress
from monitor.domain.stream import StreamStatus
from monitor.runs.model import ModelRole
from monitor.signals.set import DEFAULT
from monitor.telemetry import series
from monitor.telemetry.alarm_series import ALARM_SERIES, INCIDENT_SERIES
from monitor.telemetry.declaration import Series, counter_of, gauge_of, histogram_of
from monitor.telemetry.exemplar import exemplar_of
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness, Rows
from monitor.telemetry.health import READY, Health
from monitor.telemetry.intake import JoinCounts, LabelCounts
from monitor.telemetry.job_series import GPU_HOURS, JOB_PROGRESS_SERIES
from monitor.telemetry.reward_series import REWARD_CORRELATION
from monitor.telemetry.stream_series import STREAM_GAUGES
from monitor.telemetry.streams import StreamCounters

FRESH_SECONDS = 30.0  # how long what was confirmed last is taken for true


class TraceOutcome(StrEnum):
    COUNTED = "counted"  # stored, and an observation of its streams
    REPEATED = "repeated"  # stored, but its conversation or prompt was counted inside the window
    DUPLICATE = "duplicate"  # its trace id was stored before
    INVALID = "invalid"  # a dead letter


class PreferenceOutcome(StrEnum):
    COUNTED = "counted"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


class Dependency(StrEnum):
    POSTGRES = "postgres"
    KAFKA = "kafka"
    REWARDS = "rewards"  # the servers of `rewards.endpoints`


class Stage(StrEnum):
    POLL = "poll"
    DECODE = "decode"
    SCORE = "score"
    EMBED = "embed"
    OBSERVE = "observe"
    CHECKPOINT = "checkpoint"


class AnchorOutcome(StrEnum):
    STORED = "stored"
    UNAVAILABLE = "unavailable"  # the reward models did not answer, or were replaced meanwhile
    NOT_SCORED = "not_scored"  # they had no score for half of the pairs or more
    FENCED = "fenced"  # another process had stored it first


class Metrics:
    """The series of one process.

    The `count_` and `observe_` methods are safe from any thread; the `show_`
    methods replace what was shown and belong to one thread each: lag to the
    worker's, the rest to the controller's. Outcomes are exported from 0, so a
    rate sees the first increment. What only a leader knows is exported by a
    leader alone, and only for *leader_seconds* after it was shown last.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        dependencies: Iterable[Dependency] = (Dependency.POSTGRES, Dependency.KAFKA),
        leader_seconds: float = FRESH_SECONDS,
        signals: Collection[str] = DEFAULT.known,
        clock: Clock = time.monotonic,
    ) -> None:
        self._traces = counter_of(series.TRACES, registry)
        self._preferences = counter_of(series.PREFERENCES, registry)
        self.labels, self.joins = LabelCounts(registry), JoinCounts(registry, Freshness(FRESH_SECONDS, clock))
        self._dead_letters = counter_of(series.DEAD_LETTERS, registry)
        self._skipped = counter_of(series.SKIPPED, registry)
        self._unembedded = counter_of(series.UNEMBEDDED, registry)
        self._lost_records = counter_of(series.LOST_RECORDS, registry)
        self._replaced_logs = counter_of(series.REPLACED_LOGS, registry)
        self._stage_seconds = histogram_of(series.STAGE_SECONDS, registry)
        self._scored_tokens = counter_of(series.SCORED_TOKENS, registry)
        self._reward_batch_tokens = histogram_of(series.REWARD_BATCH_TOKENS, registry)
        self._ensemble_disagreement = gauge_of(series.ENSEMBLE_DISAGREEMENT, registry)
        self._anchor_scorings = counter_of(series.ANCHOR_SCORINGS, registry)
        self._kafka_lag = FreshGauges(series.KAFKA_LAG, freshness=Freshness(FRESH_SECONDS, clock), registry=registry)

        self._of_leader: list[FreshGauges] = []

        def of_leader(*declared: Series) -> FreshGauges:
            self._of_leader.append(
                FreshGauges(*declared, freshness=Freshness(leader_seconds, clock), registry=registry)
            )
            return self._of_leader[-1]

        self._streams, self._folded = of_leader(*STREAM_GAUGES), StreamCounters(registry, leader_seconds, clock)
        self._alarms, self._incidents = of_leader(*ALARM_SERIES), of_leader(*INCIDENT_SERIES)
        self._signals = signals
        self._fold_lag, self._silence = of_leader(series.FOLD_LAG_TRACES), of_leader(series.SILENCE_RATIO)
        self._placement_blocked = of_leader(series.PLACEMENT_BLOCKED_SECONDS)
        self._anchor = of_leader(series.ANCHOR_AGE_SECONDS, series.ANCHOR_PERIOD_SECONDS, series.ANCHOR_SHIFT)
        self._jobs, self._runs = of_leader(series.JOBS), of_leader(*JOB_PROGRESS_SERIES)
        self._hours, self._promotions = of_leader(GPU_HOURS), of_leader(series.LAST_REFRESH, series.PROMOTED)
        self._correlations = of_leader(REWARD_CORRELATION)
        self._leads = Freshness(leader_seconds, clock)
        gauge_of(series.LEADER, registry).set_function(self._leads.holds)
        self._reached = _followed(dependencies, registry, clock)
        self._part_ready = _PartGauge(registry)
        _begin(self._traces, TraceOutcome)
        _begin(self._preferences, PreferenceOutcome)
        _begin(self._anchor_scorings, AnchorOutcome)
        _begin(self._stage_seconds, Stage)

    def count_traces(self, outcome: TraceOutcome, count: int = 1) -> None:
        self._traces.labels(outcome).inc(count)

    def count_preferences(self, outcome: PreferenceOutcome, count: int = 1) -> None:
        self._preferences.labels(outcome).inc(count)

    def count_dead_letters(self, reason: str, count: int = 1) -> None:
        """Count dead letters; *reason* is `InvalidTrace.reason`, one of a bounded set of words."""
        self._dead_letters.labels(reason).inc(count)

    def count_unembedded(self, count: int) -> None:
        self._unembedded.inc(count)

    def count_skipped(self, reason: str, count: int) -> None:
        self._skipped.labels(reason).inc(count)

    def count_lost_records(self, topic: str, count: int) -> None:
        self._lost_records.labels(topic).inc(count)

    def count_replaced_logs(self, topic: str, count: int) -> None:
        self._replaced_logs.labels(topic).inc(count)

    def observe_stage(self, stage: Stage, seconds: float, trace_ids: Iterable[str] = ()) -> None:
        """Note that *stage* took *seconds*; the first of *trace_ids* that tells of nobody is the example."""
        self._stage_seconds.labels(stage).observe(seconds, exemplar_of(trace_ids))

    @contextmanager
    def timed(self, stage: Stage, trace_ids: Iterable[str] = ()) -> Iterator[None]:
        """Observe how long the block takes, also where it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe_stage(stage, time.perf_counter() - started, trace_ids)

    def count_scored_tokens(self, tokens: int) -> None:
        self._scored_tokens.inc(tokens)

    def observe_reward_batch(self, padded_tokens: int) -> None:
        self._reward_batch_tokens.observe(padded_tokens)

    def count_anchor(self, outcome: AnchorOutcome) -> None:
        self._anchor_scorings.labels(outcome).inc()

    def show_disagreement(self, mean: float) -> None:
        self._ensemble_disagreement.set(mean)

    def follow_health(self, health: Health) -> None:
        """Show which parts of *health* are ready when scraped, those that it names later included."""
        self._part_ready.health = health

    def confirm_reached(self, dependency: Dependency) -> None:
        """Note that a call to *dependency* has succeeded; safe from any thread."""
        self._reached[dependency].confirm()

    def is_reached(self, dependency: Dependency) -> bool:
        """Say whether a call to *dependency* has succeeded of late, as far as this process knows."""
        return self._reached[dependency].holds()

    def show_lag(self, records: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of the partitions assigned now, keyed by topic and partition, as the brokers have told it."""
        self._kafka_lag.show({(topic, str(number)): lag for (topic, number), lag in records.items()})
        self.confirm_reached(Dependency.KAFKA)

    def show_streams(self, statuses: Iterable[StreamStatus]) -> None:
        """Show one row for each signal and cohort, and count; policy models are joined as the help texts say."""
        statuses = list(statuses)
        self._folded.show(statuses)
        latest: dict[tuple[str, ...], StreamStatus] = {}
        evidence: dict[tuple[str, ...], float] = {}
        for status in sorted(statuses, key=lambda status: status.last_timestamp):
            labels = (status.key.signal, status.key.cohort)
            latest[labels] = status
            evidence[labels] = max(evidence.get(labels, status.evidence_log), status.evidence_log)
        self._streams.show(
            {(*labels, status.unit): status.mean for labels, status in latest.items()},
            {
                (*labels, status.unit, bound): value
                for labels, status in latest.items()
                for bound, value in (
                    ("lower", status.baseline_lower),
                    ("mean", status.baseline_mean),
                    ("upper", status.baseline_upper),
                )
            },
            evidence,
        )

    def show_alarms(self, alarms: Iterable[StoredAlarm]) -> None:
        """Show the open alarms: how many, by signal and severity, the effect of each, and which tells its incident."""
        alarms = list(alarms)
        counts: dict[tuple[str, ...], float] = {
            (signal, severity): 0 for signal in self._signals for severity in Severity
        }
        effects: dict[tuple[str, ...], float] = {}
        for stored in alarms:
            stream, alarm, effect = stored.alarm.stream, stored.alarm, stored.alarm.effect
            counted = (stream.signal, alarm.severity)
            counts[counted] = counts.get(counted, 0) + 1
            if effect is None or alarm.direction is None:
                continue
            labels = (stream.signal, stream.cohort, alarm.direction, alarm.severity, effect.unit)
            effects[labels] = max(effects.get(labels, 0.0), effect.estimate, key=abs)
        told: dict[tuple[str, ...], float] = {}
        for incident, stored in told_by(alarms).items():
            alarm, effect = stored.alarm, stored.alarm.effect
            scale, unit = (nan, "") if effect is None else shown_change(effect.unit)
            name = str(incident), alarm.stream.signal, alarm.stream.cohort, alarm.direction or "", unit
            told[name] = nan if effect is None else scale * effect.estimate
        self._alarms.show(counts, effects, told)

    def show_incidents(self, incidents: Iterable[Incident]) -> None:
        """Show the open incidents: how many, by severity, and each by its number, with its onset."""
        opened: dict[tuple[str, ...], float] = {(severity,): 0 for severity in Severity}
        members: dict[tuple[str, ...], float] = {}
        onsets: dict[tuple[str, ...], float] = {}
        for incident in incidents:
            facts = incident.facts
            opened[facts.severity,] += 1
            number = str(incident.incident_id)
            members[number, facts.kind, facts.severity] = facts.members
            onsets[number,] = facts.onset_timestamp.timestamp()
        self._incidents.show(opened, members, onsets)

    def show_jobs(self, jobs: Mapping[tuple[Action, JobState], int]) -> None:
        """Show the jobs by action and state; what is not in the mapping is 0."""
        self._jobs.show({(action, state): jobs.get((action, state), 0) for action in Action for state in JobState})

    def show_runs(self, runs: Mapping[Action, RunProgress]) -> None:
        """Show how far the runs under way have come; what a run does not tell is missing."""
        known = {action: run for action, run in runs.items() if run.total > 0}

        def told(figures: Mapping[Action, float | None]) -> dict[tuple[str, ...], float]:
            return {(action,): value for action, value in figures.items() if value is not None}

        self._runs.show(
            told({action: run.ratio for action, run in known.items()}),
            {
                (action, count): float(steps)
                for action, run in known.items()
                for count, steps in (("done", run.done), ("total", run.total))
            },
            told({action: run.loss for action, run in runs.items()}),
            told({action: run.rate for action, run in runs.items()}),
            told({action: run.seconds_left for action, run in runs.items()}),
        )

    def show_gpu_hours(self, taken: float, *, allowed: float | None) -> None:
        """Show what runs took in the last seven days, and what they may take where that is limited."""
        hours: dict[tuple[str, ...], float] = {("taken",): taken}
        if allowed is not None:
            hours["allowed",] = allowed
        self._hours.show(hours)

    def show_fold_lag(self, traces: int) -> None:
        self._fold_lag.show({(): traces})

    def show_placement_blocked(self, seconds: float) -> None:
        """Show for how long the oldest transaction has kept stored traces from getting their place."""
        self._placement_blocked.show({(): seconds})

    def show_anchor(
        self, *, age_seconds: float, period_seconds: float, scorer: str, moved: tuple[float, float] | None
    ) -> None:
        """Show how old the anchor set's last scores are and, where known, *scorer*'s shift: mean, root mean square."""
        shifts: dict[tuple[str, ...], float] = {}
        if moved is not None:
            shifts = {(scorer, "mean"): moved[0], (scorer, "root_mean_square"): moved[1]}
        self._anchor.show({(): age_seconds}, {(): period_seconds}, shifts)

    def show_silence(self, ratio: float | None) -> None:
        """Show how long no trace has come beside what the log's rhythm explains; nothing while it has none."""
        self._silence.show({} if ratio is None else {(): ratio})

    def show_correlations(self, rows: Rows) -> None:
        """Show how the reward goes with other signals, by signal, window and bound."""
        self._correlations.show(rows)

    def show_promotions(self, promoted: Mapping[ModelRole, datetime]) -> None:
        """Show when the model that each role names was put there; a role that names none is left out."""
        times: dict[tuple[str, ...], float] = {(role.value,): at.timestamp() for role, at in promoted.items()}
        self._promotions.show({(): times.get((ModelRole.REWARD.value,), 0.0)}, times)

    def show_leader(self, *, leads: bool) -> None:
        """Show who leads; a process that stops leading also withdraws what only a leader knows."""
        if leads:
            self._leads.confirm()
            return
        self._leads.forget()
        self._folded.withdraw()
        for gauges in self._of_leader:
            gauges.withdraw()


def _begin(counted: Counter | Histogram, words: Iterable[str]) -> None:
    """Export *counted* from 0 for each of *words*, so a rate sees the first increment."""
    for word in words:
        counted.labels(word)


def _followed(
    dependencies: Iterable[Dependency], registry: CollectorRegistry, clock: Clock
) -> dict[Dependency, Freshness]:
    """Return when each dependency was reached last; the gauge of them shows it when scraped."""
    reached = {name: Freshness(FRESH_SECONDS, clock) for name in dependencies}
    up = gauge_of(series.DEPENDENCY_UP, registry)
    for name, freshness in reached.items():
        up.labels(name).set_function(freshness.holds)
    return reached


class _PartGauge(Collector):
    """Which parts of `health` are ready; it is asked anew at each scrape, since some are named when they first work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.health: Health | None = None
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        [family] = self.describe()
        parts = {} if self.health is None else self.health.ready()[1]
        for part, reason in parts.items():
            family.add_metric((part,), reason == READY)
        return [family]

    def describe(self) -> list[GaugeMetricFamily]:
        declared = series.PART_READY
        return [GaugeMetricFamily(declared.name, declared.help, labels=declared.labels)]
