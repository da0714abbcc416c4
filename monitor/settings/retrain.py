"""Settings of retraining: which alarm starts what, how it runs, and what its candidate must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from monitor.domain.alarm import Severity
from monitor.domain.job import Action
from monitor.settings.launch import KubernetesSettings
from monitor.settings.part import Part
from monitor.settings.policy import (
    AnnouncementSettings,
    BakeSettings,
    PolicyGateSettings,
    PolicySettings,
    ShadowSettings,
)


class TriggerRule(Part):
    signals: tuple[str, ...] = Field(min_length=1, description="signals whose alarms count")
    severity: Severity = Field(Severity.ALERT, description="least severity that counts")
    action: Action = Field(Action.REWARD_REFRESH, description="what is started")
    approval: Literal["automatic", "manual"] = Field("manual", description="manual waits for an operator")
    cooldown_seconds: float = Field(6 * 3600.0, ge=0, description="least time between two jobs of the action")
    min_new_pairs: int = Field(
        500,
        ge=1,
        description="preference pairs since the champion's training; of kto, answers with a thumb;"
        " of refusal_refresh, answers judged for refusals",
    )
    only_when: Literal["any", "policy", "scorer"] = Field(
        "any",
        description="what the alarm must be shown to be: `policy`: neither the scorer's doing nor the prompts';"
        " `scorer`: the scorer's, by the anchor set; `any`: all but what is shown to be the scorer's",
    )


class RefusalGateSettings(Part):
    """What a corrected refusal model must keep to, beside the one that it began from."""

    min_held_out: int = Field(40, ge=10, description="fewer held-out labels fail the gate")
    min_of_each: int = Field(10, ge=2, description="so do fewer of them that refuse, or that do not")
    log_loss_margin: float = Field(
        0.05, ge=0, description="nats above the current loss that its interval may end; its middle may not lie above"
    )
    auroc_margin: float = Field(
        0.05, ge=0, le=1, description="area under the curve it may lose by the interval's end; half of it by its middle"
    )
    recall_margin: float = Field(
        0.02, ge=0, le=1, description="share of the refusals it may lose, of held-out ones by the middle"
    )
    false_margin: float = Field(
        0.02, ge=0, le=1, description="share of held-out answers that do not refuse which it may find besides"
    )
    ordinary_margin: float = Field(0.003, ge=0, le=1, description="share of ordinary answers which it may find besides")
    ordinary_most: float = Field(0.01, gt=0, le=1, description="share of ordinary answers that it must stay below")


class GateSettings(Part):
    accuracy_margin: float = Field(0.02, ge=0, le=1, description="held-out accuracy the candidate may lose")
    cohort_accuracy_margin: float = Field(0.10, ge=0, le=1, description="the same within one cohort")
    min_cohort_pairs: int = Field(30, ge=1, description="cohorts with fewer held-out pairs are not judged")
    length_balanced_margin: float = Field(0.05, ge=0, le=1, description="the same on length-balanced pairs")
    calibration_margin: float = Field(0.05, ge=0, le=1, description="expected calibration error it may add")
    min_held_out_pairs: int = Field(50, ge=1, description="fewer held-out pairs fail the gate")
    dimension_accuracy_margin: float = Field(0.10, ge=0, le=1, description="the same on pairs of one dimension")
    baseline_margin: float = Field(
        0.0, ge=-1, le=1, description="accuracy it must have above preferring the longer response, and above TF-IDF"
    )
    anchor_agreement: float = Field(
        0.6, ge=0, le=1, description="share of the anchor's pairs of answers that both scorers must rank alike"
    )
    policy: PolicyGateSettings = PolicyGateSettings()
    refusal: RefusalGateSettings = RefusalGateSettings()


class PairSettings(Part):
    """Which pairs of answers a run learns from."""

    min_agreement: float = Field(
        0.66, ge=0, le=1, description="share of a pair's annotators who must agree with its verdict; two of three do"
    )
    ai_ratio: float = Field(
        0.0, ge=0, le=0.9, description="share of the pairs that may rest on models' labels alone; 0 takes none"
    )


class RaterSettings(Part):
    """What holds training: people who do not agree on what they judge, or who were others a month ago."""

    min_kappa: float = Field(
        0.6, ge=-1, le=1, description="least Cohen's kappa of what a run learns from, by criteria of now"
    )
    min_raw: float = Field(0.7, ge=0, le=1, description="least raw agreement of the same")
    min_items: int = Field(
        50, ge=2, description="fewer that several annotators judged, or fewer labels in 30 days, hold nothing"
    )
    max_turnover: float = Field(
        0.3, ge=0, le=1, description="share of the labels of 30 days by other annotators than before, or since"
    )


class PeriodicRule(Part):
    """A job that starts by the calendar, whatever the alarms say."""

    cron: str = Field(description="five crontab fields, UTC")
    action: Action = Field(Action.REWARD_REFRESH, description="what is started")
    approval: Literal["automatic", "manual"] = Field("automatic", description="manual waits for an operator")
    min_new_pairs: int = Field(1, ge=1, description="as a rule's, since the champion's training")


class BudgetSettings(Part):
    """What runs may cost, and when nothing is started."""

    gpu_hours_a_week: float | None = Field(
        None, gt=0, description="of the last seven days, over all jobs; a run on no GPU counts as one; null: any"
    )
    gpus_a_run: int = Field(1, ge=1, description="GPUs an hour of a run is counted as")
    quiet_hours: str | None = Field(
        None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="UTC, as 22:00-06:00, in which rules and the calendar start nothing",
    )
    backoff_hours: float = Field(
        6.0, ge=0, description="after a candidate that failed its gate; doubled with each in a row, a week at most"
    )

    @model_validator(mode="after")
    def _leaves_time(self) -> BudgetSettings:
        first, _, last = (self.quiet_hours or "00:00-").partition("-")
        if first == last:
            raise ValueError(f"quiet_hours {self.quiet_hours!r} leave no time; wanted two times of the day that differ")
        return self


class RetrainSettings(Part):
    folder: Path = Field(Path("var/retrain"), description="where runs and candidates are kept")
    base_model: Path | None = Field(None, description="folder a new member is fine-tuned from; null: the champion's")
    recipe: Path | None = Field(None, description="YAML recipe; null takes the packaged reward recipe")
    refusal_recipe: Path | None = Field(None, description="YAML recipe of refusal_refresh; null takes the packaged one")
    lease_seconds: float = Field(60.0, ge=5, description="a launcher silent for longer loses its job")
    max_attempts: int = Field(3, ge=1, description="launches of one job before it fails")
    launcher: str = Field(
        "local_process", description="how runs are started; `local_process`: beside the daemon; `kubernetes`: as a Job"
    )
    keep_candidates: int = Field(
        5, ge=0, description="candidates kept beside champion, the one before it and those that wait"
    )
    promotion: Literal["automatic", "manual"] = Field("automatic", description="what follows a passed gate")
    rules: tuple[TriggerRule, ...] = Field((), description="which alarms start which job")
    refresh_cron: str | None = Field(None, description="crontab of a periodic reward_refresh, UTC")
    periodic: tuple[PeriodicRule, ...] = Field((), description="more jobs by the calendar")
    budget: BudgetSettings = BudgetSettings()
    policy: PolicySettings = PolicySettings()
    announcements: AnnouncementSettings = AnnouncementSettings()
    bake: BakeSettings = BakeSettings()
    shadow: ShadowSettings = ShadowSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    preferences: PairSettings = PairSettings()
    raters: RaterSettings = RaterSettings()
    gate: GateSettings = GateSettings()
