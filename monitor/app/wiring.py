"""Settings in, parts out: with `duties` the only place that names adapters."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy import event

from monitor.app.access import login_of
from monitor.app.anchor import anchor_scoring_of
from monitor.app.duties import FOLDED, duties_of
from monitor.app.embedding import open_embedder, require_embeddable
from monitor.app.estimates import SHOW_SECONDS
from monitor.app.leader import Leader
from monitor.app.notifying import notify_duties
from monitor.app.ports import ports_of
from monitor.app.probes import probing
from monitor.app.processing import MadeParts, processor_of
from monitor.app.reference import asking_again
from monitor.app.refusals import followed_of, no_weights
from monitor.app.release import adopt_given_models, release_duties
from monitor.app.requirements import require_extras
from monitor.app.retraining import dispatcher_of, job_service_of
from monitor.app.review import selection_of
from monitor.app.rewards import load_rewards
from monitor.app.rules import controller_rules_of, observe_rules_of, tolerances_of
from monitor.app.shadow import SHADOW_SECONDS, is_shadowed, shadowing_of
from monitor.app.signal_rows import own_names
from monitor.app.signals import count_answers, reader_process_of, refusals_of, signals_of
from monitor.app.supervisor import Supervisor
from monitor.app.temperature import ScorerTemperatures
from monitor.drift.reask import PairTolerance
from monitor.errors import Unavailable
from monitor.ingest.dead_letter import KafkaDeadLetters
from monitor.ingest.kafka import KafkaSource
from monitor.ingest.route import routes_of
from monitor.own.failures import Failures
from monitor.pipeline.backoff import Backoff
from monitor.pipeline.worker import BatchLimits, Worker
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.leader import Leadership
from monitor.postgres.migrate import require_current
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.replays import PostgresReplays
from monitor.postgres.signal_troubles import PostgresSignalTroubles
from monitor.postgres.views.overview import PostgresOverview
from monitor.retraining.dispatcher import Step
from monitor.retraining.launchers import launcher_of
from monitor.retraining.schedule import parse_cron, periodic_rules
from monitor.rewards.champion import ChampionScorer
from monitor.rewards.http import Endpoint, HttpEnsemble, HttpLimits, HttpScorer
from monitor.rewards.turns import SharedScorer
from monitor.runs.artifact import Artifact
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings
from monitor.telemetry.health import Health
from monitor.telemetry.labels import LabelMetrics
from monitor.telemetry.metrics import FRESH_SECONDS, Dependency, Metrics
from monitor.telemetry.notify import NotifyMetrics
from monitor.telemetry.probes import ProbeMetrics
from monitor.telemetry.program import show_program
from monitor.telemetry.reference import ReferenceMetrics
from monitor.telemetry.releases import ReleaseMetrics
from monitor.telemetry.signals import SignalCounts
from monitor.web.app import create_app
from monitor.web.server import WebServer

if TYPE_CHECKING:
    from monitor.rewards.huggingface import HuggingFaceEnsemble

DISPATCH_SECONDS = 1.0
FOLLOW_SECONDS = 2.0
LEADER_TURN_SECONDS = 60.0  # a leader that takes longer hangs; its lease is over before
LEAVE_SECONDS = 5.0  # past the drain
TROUBLE_SECONDS = 5.0  # between two words on which own signals fail here
ANCHOR_SECONDS = 2.0  # between two looks at whether the anchor set is due
WORKER, CONTROLLER, DISPATCHER, REWARDS, WEB = "worker", "controller", "dispatcher", "rewards", "web"
ANCHOR, SHADOW, SIGNALS, REFUSALS = "anchor", "shadow", "signals", "refusals"
log = structlog.get_logger(__name__)


def http_scorer_of(rewards: RewardsSettings) -> HttpScorer:
    limits = HttpLimits(
        timeout_seconds=rewards.timeout_seconds,
        attempts=rewards.attempts,
        concurrency=rewards.concurrency,
        rows_per_request=rewards.rows_per_request,
        max_tokens=rewards.max_tokens,
    )
    ensemble = HttpEnsemble(
        [Endpoint(endpoint.url.rstrip("/"), endpoint.model) for endpoint in rewards.endpoints],
        form=rewards.form,
        beta=rewards.lower_beta,
        limits=limits,
        random=SystemRandom(),
        api_key=rewards.api_key.get_secret_value() if rewards.api_key is not None else None,
    )
    return HttpScorer(ensemble)


def optional_parts_of(settings: Settings) -> list[str]:
    """Return the parts of a daemon that only some settings want."""
    wanted = {
        ANCHOR: settings.rewards.is_anchored,
        SHADOW: is_shadowed(settings),
        SIGNALS: bool(settings.signals.own),
        REFUSALS: no_weights(settings) is None,
    }
    return [part for part, is_wanted in wanted.items() if is_wanted]


class Daemon:
    """Worker, controller candidate, dispatcher and web in one process.

    Raises `InvalidSetting` or `Unavailable` from the constructor where it cannot start.
    """

    def __init__(self, settings: Settings) -> None:
        require_extras(settings)
        require_embeddable(settings)
        self.settings = settings
        self.health = Health((WORKER, CONTROLLER, DISPATCHER, REWARDS, *optional_parts_of(settings), WEB))
        self.port = 0
        self._registry = _registry(settings.web.public_url)
        leader_seconds = FRESH_SECONDS + settings.drift.fold_seconds
        self._metrics = _metrics_of(settings, self._registry, leader_seconds)
        self._metrics.follow_health(self.health)
        count_answers(settings, self._registry)
        self._engine = create_engine_for(settings.postgres.url.get_secret_value(), settings.postgres.pool_size)
        event.listen(
            self._engine,
            "after_cursor_execute",  # any answer, to any part of the process
            lambda *_: self._metrics.confirm_reached(Dependency.POSTGRES),
        )
        for setting, rule in periodic_rules(settings.retrain).items():
            parse_cron(rule.cron, setting=setting)
        launcher_of(settings.retrain)
        with transaction(self._engine) as connection:
            require_current(connection)
        self._models = RewardRegistry(self._engine)
        self._refusals = followed_of(settings, self._models)
        self._scorer = (
            http_scorer_of(settings.rewards)
            if settings.rewards.backend == "http"
            else ChampionScorer(self._models, self._load)
        )
        self._shared_scorer = SharedScorer(self._scorer)
        anchor, metrics = settings.rewards.anchor, self._metrics
        self._anchors = anchor_scoring_of(anchor, engine=self._engine, scorer=self._shared_scorer, metrics=metrics)
        self._reference_metrics = ReferenceMetrics(self._registry, leader_seconds=leader_seconds)
        self._failures = Failures(SignalCounts(self._registry, own_names(settings)).count_failures)
        self._label_metrics = LabelMetrics(self._registry, leader_seconds=leader_seconds + SHOW_SECONDS)
        self._worker: Worker | None = None
        self._supervisor = Supervisor(self.health, leave_seconds=settings.drain_seconds + LEAVE_SECONDS)
        with ExitStack() as failing:
            failing.callback(self._engine.dispose)
            adopt_given_models(self._engine, self.settings)
            failing.pop_all()

    def run(self, stop: threading.Event) -> None:
        """Serve until *stop* or the first failure; raises that failure after leaving in order."""
        if self.settings.rewards.backend == "huggingface":  # the first trace is scored; servers are waited for
            self._follow()
        self._follow_refusals()
        web = self._open_web()
        parts = {
            WORKER: self._run_worker,
            CONTROLLER: self._run_controller,
            DISPATCHER: self._run_dispatcher,
            REWARDS: lambda: self._supervisor.repeat(REWARDS, self._follow, pause_seconds=FOLLOW_SECONDS),
        }
        if self._refusals is not None:
            parts[REFUSALS] = lambda: self._supervisor.repeat(
                REFUSALS, self._follow_refusals, pause_seconds=FOLLOW_SECONDS
            )
        if self.settings.rewards.is_anchored:
            parts[ANCHOR] = lambda: self._supervisor.repeat(ANCHOR, self._anchors.turn, pause_seconds=ANCHOR_SECONDS)
        if is_shadowed(self.settings):
            parts[SHADOW] = self._run_shadow
        if self.settings.signals.own:
            parts[SIGNALS] = self._tell_troubles
        try:
            self._supervisor.run(parts, stop)
        finally:
            web.stop()
            self._scorer.close()
            self._engine.dispose()
        if self.health.failure is not None:
            raise self.health.failure.exception

    def _open_web(self) -> WebServer:
        secret = self.settings.web.metrics_token
        app = create_app(
            ports_of(
                self._engine,
                self.settings,
                kafka_lag=self._lag_records,
                counts=self._metrics.labels,
            ),
            health=self.health,
            registry=self._registry,
            tokens=self.settings.web.tokens,
            names=self.settings.web.names,
            login=login_of(self.settings.web),
            wants_login=self.settings.web.wants_login,
            metrics_token=secret.get_secret_value() if secret is not None else None,
        )
        server = WebServer(app, host=self.settings.web.host, port=self.settings.web.port, health=self.health)
        self.port = server.start()
        log.info("listening", host=self.settings.web.host, port=self.port)
        return server

    def _run_worker(self) -> None:
        ingest, kafka = self.settings.ingest, self.settings.kafka
        store = PostgresCheckpoints(
            self._engine,
            group_id=kafka.group_id,
            max_cohorts=ingest.max_cohorts,
            patience_seconds=ingest.join.patience_seconds,
        )
        temperature = ScorerTemperatures(self._engine, self.settings.rewards)
        selection = selection_of(self._engine, self.settings.review, has_texts=ingest.text.keep != "none")
        signals = signals_of(self.settings, self._failures, process=reader_process_of(self.settings.signals.refusal))
        rules = observe_rules_of(self.settings, selection, temperature, signals)
        embedder, reward_model = open_embedder(self.settings, self._scorer, self._shared_scorer, self._metrics)
        dead_letters = KafkaDeadLetters(kafka, withhold=ingest.redaction.dead_letters == "withhold")
        made = MadeParts(store, dead_letters, PostgresReplays(self._engine), self._metrics, self.health)
        processor = processor_of(self.settings, made, rules=rules, reward_model=reward_model, embedder=embedder)
        worker = Worker(
            lambda assignment: KafkaSource(kafka, [route.topic for route in routes_of(kafka)], assignment),
            processor,
            limits=BatchLimits(ingest.batch_max_traces, ingest.batch_max_seconds, ingest.batch_max_bytes),
            metrics=self._metrics,
            health=self.health,
            backoff=Backoff(SystemRandom()),
            drain_seconds=self.settings.drain_seconds,
        )
        self._worker = worker
        with closing(signals):
            worker.run(self._supervisor.stopping)
        dead_letters.close()
        if embedder is not None:
            embedder.close()

    def _lag_records(self) -> int | None:
        return self._worker.lag_records if self._worker is not None else None

    def _run_controller(self) -> None:
        settings, leadership = self.settings, Leadership(self._engine)
        fenced = leadership.fenced_engine()
        duties = duties_of(
            settings,
            self._metrics,
            label_metrics=self._label_metrics,
            engine=self._engine,
            fenced=fenced,
            rules=controller_rules_of(settings),
            jobs=job_service_of(fenced, settings),
            overview=PostgresOverview(self._engine, kafka_lag=self._lag_records),
        )
        again, tolerance = settings.drift.reference, PairTolerance(tolerances_of(settings))
        scorer, metrics = self._shared_scorer, self._reference_metrics
        refusals = refusals_of(settings).pinned()  # who asks again keeps to one, until the next start
        fresh_seconds = FRESH_SECONDS + settings.drift.fold_seconds
        shown = ProbeMetrics(self._registry, leader_seconds=fresh_seconds + SHOW_SECONDS)
        with (
            asking_again(
                again, fenced, tolerance=tolerance, refusals=refusals, scorer=scorer, metrics=metrics
            ) as asking,
            probing(settings, fenced, scorer=scorer, metrics=shown) as probes,
        ):
            duties[FOLDED:FOLDED] = [*asking, *probes]
            releases = ReleaseMetrics(self._registry, leader_seconds=fresh_seconds)
            duties[-1:-1] = release_duties(settings, releases, fenced)
            notified = NotifyMetrics(self._registry, leader_seconds=fresh_seconds)
            duties[-1:-1] = notify_duties(settings, notified, fenced)
            leader = Leader(leadership, duties, metrics=self._metrics)
            try:
                pause_seconds = settings.drift.fold_seconds
                self._supervisor.repeat(
                    CONTROLLER, leader.turn, pause_seconds=pause_seconds, limit_seconds=LEADER_TURN_SECONDS
                )
            finally:
                leader.release()

    def _run_dispatcher(self) -> None:
        owner = f"{socket.gethostname()}/{os.getpid()}"
        dispatcher = dispatcher_of(self._engine, self.settings, owner=owner)

        def tick() -> None:
            while dispatcher.tick() not in {Step.IDLE, Step.WATCHED} and not self._supervisor.stopping.is_set():
                pass

        try:
            self._supervisor.repeat(DISPATCHER, tick, pause_seconds=DISPATCH_SECONDS)
        finally:
            dispatcher.close()

    def _tell_troubles(self) -> None:
        worker, store = f"{socket.gethostname()}/{os.getpid()}", PostgresSignalTroubles(self._engine)

        def turn() -> None:
            store.tell(worker, self._failures.troubles())

        self._supervisor.repeat(SIGNALS, turn, pause_seconds=TROUBLE_SECONDS)

    def _run_shadow(self) -> None:
        shadowing = shadowing_of(self.settings, self._engine, load=self._load, scorer=self._shared_scorer)
        try:
            self._supervisor.repeat(SHADOW, shadowing.turn, pause_seconds=SHADOW_SECONDS)
        finally:
            shadowing.close()

    def _follow_refusals(self) -> None:
        trouble = None if self._refusals is None else self._refusals.follow()
        if trouble is not None:
            raise Unavailable(trouble, plain="the promoted refusal model cannot be used; the one before it reads")

    def _follow(self) -> None:
        if self.settings.rewards.backend == "none":
            return
        trouble = self._scorer.follow()
        if trouble is not None:
            raise Unavailable(trouble, plain="the promoted reward model cannot be used; the one before it scores")
        if self.settings.rewards.backend == "http":
            self._metrics.confirm_reached(Dependency.REWARDS)

    def _load(self, artifact: Artifact) -> HuggingFaceEnsemble:
        def count_tokens(real: int, padded: int) -> None:
            self._metrics.count_scored_tokens(real)
            self._metrics.observe_reward_batch(padded)

        ensemble = load_rewards(self.settings.rewards, [Path(artifact.path)], version=artifact.version)
        ensemble.on_forward = count_tokens
        return ensemble


def _metrics_of(settings: Settings, registry: CollectorRegistry, leader_seconds: float) -> Metrics:
    served = settings.rewards.backend == "http"
    reached = [name for name in Dependency if served or name is not Dependency.REWARDS]
    known = signals_of(settings).known
    return Metrics(registry, dependencies=reached, leader_seconds=leader_seconds, signals=known)


def _registry(console_url: str | None) -> CollectorRegistry:
    """A registry of its own, with what Prometheus shows of any Python process, and where the console is."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    show_program(registry, console_url=console_url)
    return registry
