"""From settings to the rules of observing traces and of watching for drift."""

from __future__ import annotations

from datetime import timedelta

import structlog

from monitor.app.signals import signals_of
from monitor.domain.cohort import CohortRule
from monitor.domain.incident import VerdictWait
from monitor.domain.review import drawing_key
from monitor.domain.score import TemperatureOf
from monitor.drift.anchor import JUDGED
from monitor.drift.budget import Budget
from monitor.drift.controller import ControllerRules
from monitor.drift.detector import DETECTORS
from monitor.drift.fold import FoldRules
from monitor.drift.freeze import NullRule
from monitor.drift.incident import IncidentRule
from monitor.drift.reask import MEASURES
from monitor.drift.tolerance import Tolerance
from monitor.errors import InvalidSetting
from monitor.labels.block import BlockRule
from monitor.labels.feedback import FeedbackRule
from monitor.labels.item import Sampling
from monitor.observe.scoring import RewardRule
from monitor.observe.selection import SelectionRule
from monitor.observe.step import ObserveRules
from monitor.observe.texts import TextRule
from monitor.retraining.cause import Verdicts
from monitor.runs.action import ACTIONS
from monitor.runs.policy import POLICY
from monitor.runs.refusal import REFUSAL
from monitor.settings.root import Settings
from monitor.signals.set import SignalSet
from monitor.signals.user_feedback import FEEDBACK

log = structlog.get_logger(__name__)


def observe_rules_of(
    settings: Settings, selection: SelectionRule, temperature: TemperatureOf, signals: SignalSet
) -> ObserveRules:
    rewards = settings.rewards
    return ObserveRules(
        CohortRule(settings.ingest.cohort_keys),
        settings.repeat_window,
        selection,
        RewardRule(temperature, takes_reported=rewards.backend == "none"),
        text_rule_of(settings),
        signals,
    )


def feedback_rule_of(settings: Settings) -> FeedbackRule:
    told = settings.labels
    return FeedbackRule(tuple(FEEDBACK[name] for name in told.feedback), timedelta(hours=told.feedback_hours))


def text_rule_of(settings: Settings) -> TextRule:
    texts = settings.ingest.text
    ratio = {"all": 1.0, "sampled": texts.ratio, "none": 0.0}[texts.keep]
    return TextRule(ratio, drawing_key(settings.review.key.get_secret_value()))


def require_texts(settings: Settings) -> None:
    """Raise `InvalidSetting` for what cannot work without stored texts, and log what works less without them."""
    keep = settings.ingest.text.keep
    if keep == "all":
        return
    found, retrain = f"ingest.text.keep = {keep!r}", settings.retrain
    if keep == "none":
        if settings.drift.reference.endpoint is not None:
            raise InvalidSetting(f"drift.reference.endpoint: stored prompts are asked again, and {found} stores none")
        actions = [("rules", rule.action) for rule in retrain.rules]
        actions += [("periodic", rule.action) for rule in retrain.periodic]
        for name, action in actions:
            if ACTIONS[action].result.role in {POLICY, REFUSAL}:
                wanted = f"{action} is trained and judged on stored texts"
                raise InvalidSetting(f"retrain.{name}: {wanted}, and {found} stores none")
    less = {
        "review": "nothing can be shown" if keep == "none" else "what is drawn for review keeps its texts",
        "baseline": "a new scorer's baseline is not made by scoring the window again"
        if keep == "none"
        else "a new scorer's baseline is made of the sample",
        "examples": "alarms name traces without their texts",
        "pairs": "labels on traces make no preference pairs; preference events do",
    }
    log.warning("texts_not_kept", setting=found, **less)


def null_rule_of(settings: Settings) -> NullRule:
    """Return how baselines are frozen; raises `InvalidSetting` where a detector is not known."""
    drift = settings.drift
    for signal, name in drift.detectors.items():
        if name not in DETECTORS:
            raise InvalidSetting(f"drift.detectors names {name!r} for {signal}; there are {', '.join(DETECTORS)}")
    return NullRule(
        drift.standard_errors,
        drift.cohort_standard_errors,
        tolerances_of(settings),
        drift.detectors,
        signals_of(settings),
    )


def tolerances_of(settings: Settings) -> dict[str, Tolerance]:
    """Return what the operator accepts, by signal; one that is not named has its kind's default."""
    return {name: Tolerance(accepted.share, accepted.points) for name, accepted in settings.drift.tolerance.items()}


def budget_of(settings: Settings) -> Budget:
    """Return how many false pages all streams together may cost."""
    drift = settings.drift
    return Budget(false_page_days=drift.false_page_days, average_run_length=drift.average_run_length)


def controller_rules_of(settings: Settings) -> ControllerRules:
    drift = settings.drift
    return ControllerRules(
        fold=FoldRules(budget_of(settings), drift.recovery_observations),
        baseline_traces=drift.baseline_traces,
        null_rule=null_rule_of(settings),
        incidents=IncidentRule(timedelta(seconds=drift.incident_seconds)),
        baseline_labels=settings.labels.baseline_labels,
        baseline_outcomes=settings.probes.baseline_outcomes,
    )


def block_rule_of(settings: Settings) -> BlockRule:
    """Return when a block of labels is complete."""
    labels = settings.labels
    return BlockRule(
        sampling=Sampling(labels.sampling),
        traces=labels.block_traces,
        wait=timedelta(seconds=labels.wait_seconds),
        least_probability=labels.least_probability,
        criteria_version=labels.criteria_version,
    )


def wait_of(settings: Settings) -> VerdictWait:
    """Return for how long a page waits for what asking the released policy again tells."""
    reference = settings.drift.reference
    if reference.endpoint is None:
        return VerdictWait()
    return VerdictWait(frozenset(MEASURES), timedelta(seconds=reference.patience_seconds))


def verdicts_of(settings: Settings) -> Verdicts:
    """Return which verdicts on alarms a rule of `retrain.rules` has to wait for."""
    return Verdicts(wait_of(settings), scored=JUDGED, anchored=settings.rewards.is_anchored)
