"""What answers an alarm, from the settings: jobs, their runs, and who says whether there is something to learn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf

from sqlalchemy import Engine

from monitor.app.policy import PolicyMaterial
from monitor.app.refusals import no_weights
from monitor.app.rules import null_rule_of, verdicts_of
from monitor.app.temperature import ScorerTemperatures
from monitor.domain.job import Action
from monitor.drift.rescore import RescoredBaselines
from monitor.labels.agreement import AgreementReport, Panel
from monitor.labels.pairs import PairRules
from monitor.postgres.agreement import PostgresAgreement
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.preferences import PostgresPreferences
from monitor.postgres.refusal_rows import PostgresRefusalRows
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.dispatcher import Dispatcher
from monitor.retraining.housekeeping import AttemptFolders
from monitor.retraining.launchers import launcher_of
from monitor.retraining.lease import LeasedJobs
from monitor.retraining.records import RaterFacts
from monitor.retraining.release import Releases
from monitor.retraining.run_folder import RunFolders
from monitor.retraining.service import JobService
from monitor.settings.root import Settings
from monitor.telemetry.labels import LabelMetrics

KEPT_SECONDS = 5.0
KEPT_RATIO = 20.0  # of the time that reading took: it is never more than a twentieth of all


class Agreements:
    """How far annotators agree, read anew where what is known is old: the longer the reading took, the older it may be.

    For many threads.
    """

    def __init__(
        self, read: Callable[[datetime], AgreementReport], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: AgreementReport | None = None
        self._due = -inf

    def report(self) -> AgreementReport:
        with self._lock:
            started = self._clock()
            if self._known is None or started >= self._due:
                self._known = self._read(datetime.now(UTC))
                ended = self._clock()
                self._due = ended + max(KEPT_SECONDS, KEPT_RATIO * (ended - started))
            return self._known

    def raters(self, action: Action) -> RaterFacts:
        """Return what may hold a run of *action*: who judged what it learns from."""
        if action is Action.KTO:  # learns from users' thumbs, whatever annotators say
            return RaterFacts()
        report = self.report()
        if action is Action.REFUSAL_REFRESH:
            return replace(_facts_of(report.refusals), items="answers", labels="labels of refusals")
        return _facts_of(Panel(report.criteria_version, report.current, report.turnover))


def _facts_of(panel: Panel) -> RaterFacts:
    line = panel.current
    raw, kappa = (None, None) if line is None else (line.raw, line.kappa)
    return RaterFacts(panel.criteria_version, raw, kappa, panel.turnover)


@dataclass(frozen=True, slots=True)
class ShowAgreement:
    """Show how far those agree who judged what a run would learn from."""

    report: Callable[[], AgreementReport]
    metrics: LabelMetrics

    def __call__(self) -> None:
        report = self.report()
        line, turnover = report.current, report.turnover
        measures = {} if line is None else {"raw": line.raw, "kappa": line.kappa, "alpha": line.alpha}
        known = {name: found for name, found in measures.items() if found is not None}
        self.metrics.show_agreement(
            {name: found.value for name, found in known.items()},
            items=max((found.items for found in known.values()), default=0),
            turnover=None if turnover is None else turnover.value,
        )


def agreement_of(engine: Engine, settings: Settings) -> Agreements:
    return Agreements(PostgresAgreement(engine, settings.labels.criteria_version).agreement)


def pair_rules_of(settings: Settings) -> PairRules:
    wanted = settings.retrain.preferences
    return PairRules(min_agreement=wanted.min_agreement, ai_ratio=wanted.ai_ratio)


def job_service_of(engine: Engine, settings: Settings) -> JobService:
    begin, raters = PostgresTransactions(engine, pair_rules_of(settings)), agreement_of(engine, settings).raters
    return JobService(
        begin,
        releases_of(engine, settings),
        settings.retrain,
        raters,
        verdicts=verdicts_of(settings),
        no_weights=no_weights(settings),
    )


def releases_of(engine: Engine, settings: Settings) -> Releases:
    window, temperature = PostgresBaselineTraces(engine), ScorerTemperatures(engine, settings.rewards)
    baselines = RescoredBaselines(window, null_rule_of(settings), temperature=temperature)
    backend = settings.rewards.backend
    no_shadow = None if backend == "huggingface" else f"rewards.backend is {backend!r}, and cannot hold two ensembles"
    return Releases(PostgresTransactions(engine), baselines, settings.retrain, no_shadow)


def dispatcher_of(engine: Engine, settings: Settings, *, owner: str) -> Dispatcher:
    retrain, begin = settings.retrain, PostgresTransactions(engine)
    folders = RunFolders(
        retrain,
        preferences=PostgresPreferences(engine, pair_rules_of(settings)),
        baseline=PostgresBaselineTraces(engine),
        registry=RewardRegistry(engine),
        policy=PolicyMaterial(engine, settings),
        refusals=PostgresRefusalRows(engine),
        scored_tokens=settings.rewards.max_tokens,
    )
    return Dispatcher(
        retrain,
        owner=owner,
        jobs=LeasedJobs(begin),
        promotions=releases_of(engine, settings),
        folders=folders,
        launcher=launcher_of(retrain),
        housekeeping=AttemptFolders(retrain, begin),
    )
