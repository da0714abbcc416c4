"""What the console, the API and the commands read and change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine

from monitor.app.anchor import anchors_of
from monitor.app.baselines import Baselines
from monitor.app.erasure import Erasing
from monitor.app.estimates import estimates_of
from monitor.app.explaining import AlarmPages
from monitor.app.history import StreamHistories
from monitor.app.labels import LabelIntake
from monitor.app.letters import LetterDesk, NewestLetters
from monitor.app.notifying import Notified
from monitor.app.preferences import PreferenceSets
from monitor.app.probes import probe_reports_of
from monitor.app.reference import Reasks
from monitor.app.release import Released
from monitor.app.retraining import agreement_of, job_service_of
from monitor.app.review import ReviewDesk, reviews_of
from monitor.app.rules import controller_rules_of
from monitor.app.signal_rows import SignalRows
from monitor.app.signals import signals_of
from monitor.drift.correlation import Correlations
from monitor.drift.heatmap import Heatmaps
from monitor.drift.moved import MovedDays
from monitor.drift.status import Streams
from monitor.ingest.limits import limits_of
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.credentials import PostgresCredentials
from monitor.postgres.days import PostgresDays
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.kept_answers import PostgresKeptAnswers
from monitor.postgres.labels import PostgresLabels
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.review_criteria import PostgresCriteria
from monitor.postgres.signal_troubles import PostgresSignalTroubles
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.audit import PostgresAuditLog
from monitor.postgres.views.console import PostgresConsole
from monitor.postgres.views.overview import PostgresOverview
from monitor.postgres.views.streams import PostgresStreams
from monitor.postgres.views.traces import PostgresTraces
from monitor.settings.root import Settings
from monitor.telemetry.intake import LabelCounts
from monitor.web.app import Ports


def ports_of(
    engine: Engine,
    settings: Settings,
    *,
    kafka_lag: Callable[[], int | None] = lambda: None,
    counts: LabelCounts | None = None,
) -> Ports:
    """Return what the console, the API and the commands read and change."""
    streams = PostgresStreams(engine, signals_of(settings))
    overview = PostgresOverview(engine, kafka_lag=kafka_lag)
    console = PostgresConsole(engine, overview)
    return Ports(
        overview=overview,
        boards=console,
        heatmaps=Heatmaps(console),
        versions=console,
        streams=Streams(streams),
        days=moved_days_of(engine, settings),
        baselines=streams,
        correlations=Correlations(PostgresFoldStore(engine), streams.baseline),
        anchors=anchors_of(engine, settings.rewards.anchor),
        alarms=PostgresAlarms(engine),
        pages=AlarmPages(engine, controller_rules_of(settings).fold),
        incidents=PostgresIncidents(engine),
        notified=Notified.of(engine, settings),
        jobs=job_service_of(engine, settings),
        models=RewardRegistry(engine),
        releases=Released.of(engine),
        reviews=reviews_of(engine, settings),
        estimates=estimates_of(engine, settings),
        agreement=agreement_of(engine, settings),
        probes=probe_reports_of(engine, settings.probes),
        erasures=Erasing.of(engine, settings.retrain),
        keys=PostgresKeptAnswers(engine),
        traces=PostgresTraces(engine),
        freezes=Baselines(engine, settings),
        audit=PostgresAuditLog(engine),
        credentials=PostgresCredentials(engine),
        histories=StreamHistories.of(engine, settings),
        letters=NewestLetters.of(engine, settings.kafka),
        letter_desk=LetterDesk(engine, settings.kafka),
        queue=ReviewDesk(engine, settings),
        criteria=PostgresCriteria(engine),
        preferences=PreferenceSets(engine, settings),
        reasks=Reasks(engine, settings.drift.reference),
        signals=SignalRows(settings, PostgresSignalTroubles(engine).troubles),
        labels=LabelIntake(PostgresLabels(engine), limits_of(settings.ingest), lambda: datetime.now(UTC), counts),
    )


def moved_days_of(engine: Engine, settings: Settings) -> MovedDays:
    return MovedDays(PostgresDays(engine), settings.drift.moved_false_share)
