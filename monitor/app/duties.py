"""The list of what the leader does: a new duty is a line here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine

from monitor.app.anchor import JudgeAnchor
from monitor.app.estimates import SHOW_SECONDS, ShowEstimates, estimates_of, late_after
from monitor.app.history import history_duties
from monitor.app.leader import Duty, FoldLog, StartJobs, WatchIncidents, WatchPlacement
from monitor.app.retraining import ShowAgreement, agreement_of
from monitor.app.review import PLAN_SECONDS, TIDY_SECONDS, PlanReview, TidyReview
from monitor.app.rules import block_rule_of, feedback_rule_of, wait_of
from monitor.app.signals import refusals_of, signals_of
from monitor.app.watch import WatchArrivals
from monitor.drift.controller import Controller, ControllerRules
from monitor.drift.correlation import KEPT_SECONDS, Correlations, gauges_of
from monitor.drift.first import FirstLaws
from monitor.drift.incident import IncidentRule
from monitor.drift.versions import VersionLaws
from monitor.drift.watch import WatchRules
from monitor.labels.feedback import FeedbackKeeper
from monitor.labels.keeper import BlockKeeper
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.arrivals import PostgresArrivals
from monitor.postgres.blocks import PostgresBlocks
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.feedback import PostgresFeedback
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.placement import PostgresPlacement
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.retention import PostgresRetention, Retention
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.versions import PostgresFirstTraces, PostgresVersions
from monitor.postgres.views.jobs import job_counts, running_progress
from monitor.postgres.views.overview import PostgresOverview
from monitor.postgres.views.streams import PostgresStreams
from monitor.retraining.service import JobService
from monitor.settings.root import Settings
from monitor.telemetry.labels import LabelMetrics
from monitor.telemetry.metrics import Dependency, Metrics

ANCHOR_SECONDS = 2.0
FORGET_SECONDS = 600.0
GPU_SECONDS = 10.0
PLACEMENT_SECONDS = 10.0
PREFERENCES_SECONDS = 10.0
READ_SECONDS = 5.0  # of a turn, while many events or labelled traces have not been read
ANSWER_SECONDS = 5.0  # what holds a job takes longer to know than a fold
FOLDED = 2  # duties of a turn after which the fold's alarms are stored, and not shown yet
WATCH_SECONDS = 5.0
BLOCK_SECONDS = 2.0
FIRST_TRACES = 2_000  # of a signal that came later, where an operator froze the baseline
CLOCK_SECONDS = 60.0  # the log's time is never further behind, while there is a leader


def watch_of(
    settings: Settings, metrics: Metrics, fenced: Engine, *, overview: PostgresOverview, versions: VersionLaws
) -> WatchArrivals:
    """Return the watch over what does not come; a pause that a worker's end explains is no silence."""
    takeover = settings.kafka.session_timeout_seconds + settings.ingest.batch_max_seconds + settings.drift.fold_seconds
    signals = signals_of(settings)
    return WatchArrivals(
        PostgresArrivals(fenced, group_id=settings.kafka.group_id, signals=signals),
        WatchRules(
            false_days=settings.drift.false_page_days,
            takeover_seconds=takeover,
            unread_after_seconds=3.0 * CLOCK_SECONDS + takeover,
            signals=signals,
        ),
        active=PostgresFoldStore(fenced).active,
        unfollowed=versions.unfollowed,
        filing=IncidentRule(timedelta(seconds=settings.drift.incident_seconds)).file,
        reads=lambda: metrics.is_reached(Dependency.KAFKA),
        waiting=overview.kafka_lag,
        metrics=metrics,
    )


def versions_of(engine: Engine, rules: ControllerRules, edition: Callable[[], object] = lambda: None) -> VersionLaws:
    """Return what gives signals and versions that came after the baseline their laws.

    *edition* changes with who reads a signal, where that may be while the program runs.

    Those that hang on prompt and answer alone are read again; others wait for their first traces, as many as make the
    first baseline.
    """
    rule = rules.null_rule
    again = rule.signals.only({signal.name for signal in rule.signals.observers if signal.of_texts})
    others, traces = rule.signals.of_traces - again.of_traces, rules.baseline_traces or FIRST_TRACES
    first = FirstLaws(PostgresFirstTraces(engine), rule, others, traces)
    store, names = PostgresVersions(engine), again.of_traces
    return VersionLaws(store, again.rows, rule, signals=names, first=first, edition=edition)


def done(body: Callable[[], object]) -> Callable[[], None]:
    """Return *body* as a duty that never has more to do at once, whatever it returns."""

    def run() -> None:
        body()

    return run


def label_duties(settings: Settings, metrics: LabelMetrics, *, engine: Engine, fenced: Engine) -> list[Duty]:
    """Return what the leader does for the review queue, the estimates that labels give, and what runs learn from."""
    review, estimates = settings.review, ShowEstimates(estimates_of(engine, settings), metrics, late_after(settings))
    preferences = PostgresPreferences(fenced)
    feedback = FeedbackKeeper(PostgresFeedback(fenced), feedback_rule_of(settings))
    return [
        Duty("count_feedback", BLOCK_SECONDS, feedback.turn),
        Duty("plan_review", PLAN_SECONDS, PlanReview(fenced, review)),
        Duty("tidy_review", TIDY_SECONDS, TidyReview(fenced, review, metrics)),
        Duty("show_estimates", SHOW_SECONDS, estimates),
        Duty("read_preferences", PREFERENCES_SECONDS, partial(preferences.read_new, seconds=READ_SECONDS)),
        Duty("show_agreement", SHOW_SECONDS, ShowAgreement(agreement_of(engine, settings).report, metrics)),
    ]


def job_duties(settings: Settings, metrics: Metrics, *, engine: Engine, jobs: JobService) -> list[Duty]:
    """Return what the leader shows of jobs and their runs."""
    allowed = settings.retrain.budget.gpu_hours_a_week
    return [
        Duty("show_jobs", 0.0, lambda: metrics.show_jobs(job_counts(engine))),
        Duty("show_runs", 0.0, lambda: metrics.show_runs(running_progress(engine))),
        Duty("show_gpu_hours", GPU_SECONDS, lambda: metrics.show_gpu_hours(jobs.gpu_hours(), allowed=allowed)),
    ]


def correlations_duty(engine: Engine, metrics: Metrics) -> Duty:
    told = Correlations(PostgresFoldStore(engine), PostgresStreams(engine).baseline)
    return Duty("show_correlations", KEPT_SECONDS, lambda: metrics.show_correlations(gauges_of(told.correlations())))


def duties_of(
    settings: Settings,
    metrics: Metrics,
    *,
    label_metrics: LabelMetrics,
    engine: Engine,
    fenced: Engine,
    rules: ControllerRules,
    jobs: JobService,
    overview: PostgresOverview,
) -> list[Duty]:
    """Return what one replica does for all, in the order of a turn; every write goes through *fenced*."""
    log_store = PostgresFoldStore(fenced)
    refusals = refusals_of(settings)
    versions = versions_of(fenced, rules, lambda: refusals.version)
    controller = Controller(log_store, rules, versions=versions)
    store = PostgresCheckpoints(fenced, group_id=settings.kafka.group_id, max_cohorts=settings.ingest.max_cohorts)
    alarms, models = PostgresAlarms(fenced), RewardRegistry(engine)

    kept = settings.retention
    days = Retention(kept.text_days, kept.trace_id_days, kept.log_days, kept.pair_days, kept.rollup_days)
    retention = PostgresRetention(fenced, days)

    def forget_repeats() -> None:
        store.forget_repeats(settings.repeat_window)

    duties = [
        Duty("tell_time", CLOCK_SECONDS, done(partial(log_store.tell_time, after_seconds=CLOCK_SECONDS))),
        Duty("fold_log", 0.0, FoldLog(controller.tick, overview.fold_lag, metrics)),
        Duty("settle_blocks", BLOCK_SECONDS, BlockKeeper(PostgresBlocks(fenced), block_rule_of(settings)).turn),
        Duty(
            "watch_arrivals", WATCH_SECONDS, watch_of(settings, metrics, fenced, overview=overview, versions=versions)
        ),
        Duty("show_alarms", 0.0, lambda: metrics.show_alarms(alarms.open_alarms())),
        Duty("watch_incidents", 0.0, WatchIncidents(PostgresIncidents(fenced), metrics, wait_of(settings))),
        *job_duties(settings, metrics, engine=engine, jobs=jobs),
        correlations_duty(engine, metrics),
        Duty("show_promotions", 0.0, lambda: metrics.show_promotions(models.promoted())),
        *label_duties(settings, label_metrics, engine=engine, fenced=fenced),
        *history_duties(settings, fenced),
        Duty("start_jobs", ANSWER_SECONDS, StartJobs(jobs)),
        Duty("forget_repeats", FORGET_SECONDS, forget_repeats),
        Duty("make_partitions", FORGET_SECONDS, retention.make_partitions),
        Duty("forget_texts", FORGET_SECONDS, retention.tidy),
    ]
    if settings.rewards.is_anchored:
        duties.append(Duty("judge_anchor", ANCHOR_SECONDS, JudgeAnchor.of(settings, fenced=fenced, metrics=metrics)))
    placement = PostgresPlacement(engine)
    duties.append(Duty("end_silent_sessions", PLACEMENT_SECONDS, done(placement.end_silent)))
    watch = WatchPlacement(placement.blocker, metrics)
    duties.append(Duty("watch_placement", PLACEMENT_SECONDS, watch))  # last: where it finds a blocker the turn ends
    return duties
