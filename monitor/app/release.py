"""What goes with a promotion, from the settings: the first champions, who is told, and the bake window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine

from monitor.app.leader import Duty
from monitor.app.refusals import adopt_weights
from monitor.app.retraining import releases_of
from monitor.app.rules import wait_of
from monitor.domain.alarm import Severity
from monitor.domain.release import Announcement, Bake, Channel
from monitor.domain.shadow import Shadow
from monitor.errors import InvalidInput, InvalidSetting
from monitor.ingest.kafka_announcements import KafkaAnnouncements
from monitor.postgres.announcements import AnnouncementLog
from monitor.postgres.bakes import BakeLog
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.shadow import ShadowLog
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.announcing import body_of, headers_of
from monitor.retraining.bake import Baker, BakeRules
from monitor.retraining.records import Author
from monitor.retraining.telling import Queue, Teller
from monitor.retraining.webhook import Webhook
from monitor.rewards.champion import gather_artifact
from monitor.runs.artifact import Artifact, policy_artifact
from monitor.runs.model import ModelRole
from monitor.runs.policy import POLICY
from monitor.runs.result import RewardResult
from monitor.settings.root import Settings
from monitor.telemetry.releases import SHADOW_SECONDS, ReleaseMetrics

BAKE_SECONDS = 2.0
TELL_SECONDS = 1.0
_BY = Author("settings", "daemon")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Released:
    """What operators see of promotions: the web package's port."""

    bakes: BakeLog
    log: AnnouncementLog
    shadows: ShadowLog

    @classmethod
    def of(cls, engine: Engine) -> Released:
        return cls(BakeLog(engine), AnnouncementLog(engine), ShadowLog(engine))

    def announcements(self, *, limit: int, before: int | None = None) -> Sequence[Announcement]:
        return self.log.announcements(limit=limit, before=before)

    def open_bakes(self) -> Sequence[Bake]:
        return self.bakes.open_bakes()

    def bake(self, job_id: int) -> Bake | None:
        return self.bakes.bake(job_id)

    def shadow(self, job_id: int) -> Shadow | None:
        from monitor.observe.alike import sum_up_shadow  # noqa: PLC0415 - brings scipy, which takes seconds to import

        scores = self.shadows.scores(job_id)
        return None if scores is None else sum_up_shadow(scores)


def release_duties(settings: Settings, metrics: ReleaseMetrics, fenced: Engine) -> list[Duty]:
    """Return what the leader does after a promotion; every write goes through *fenced*."""
    queue, bakes = AnnouncementLog(fenced), BakeLog(fenced)
    baker = Baker(bakes, PostgresTransactions(fenced), releases_of(fenced, settings), bake_rules_of(settings))
    tellers, released = tellers_of(settings, queue), Released.of(fenced)

    def bake() -> None:
        for decision in baker.turn(datetime.now(UTC)):
            log.info("bake_decided", state=decision.state.value, reason=decision.reason, alarm=decision.alarm_id)
        metrics.show_bakes(bakes.open_bakes(), [role.value for role in ModelRole])

    def tell() -> bool:
        noted = [teller.turn() for teller in tellers.values()]
        metrics.show_waiting({channel: queue.waiting(channel) for channel in tellers})
        return any(noted)

    def show_shadow() -> None:
        job = released.shadows.job()
        shown = None if job is None else released.shadow(job.job_id)
        metrics.show_shadow(shown, wanted=settings.retrain.shadow.traces)

    duties = [Duty("bake", BAKE_SECONDS, bake), Duty("tell_promotions", TELL_SECONDS, tell)]
    return [*duties, Duty("show_shadow", SHADOW_SECONDS, show_shadow)] if settings.retrain.shadow.traces else duties


def bake_rules_of(settings: Settings) -> BakeRules:
    bake = settings.retrain.bake
    return BakeRules(
        max_hours=bake.max_hours,
        mode=bake.mode,
        severity=Severity(bake.severity),
        reference_wait=wait_of(settings),
        scorer_wait=timedelta(seconds=settings.rewards.anchor.period_seconds if settings.rewards.is_anchored else 0.0),
    )


def tellers_of(settings: Settings, queue: Queue) -> Mapping[Channel, Teller]:
    """Return who tells of policies, by channel; empty where nobody is to be told."""
    wanted, found = settings.retrain.announcements, dict[Channel, Teller]()
    if wanted.webhook is not None and wanted.webhook_secret is not None:
        secret = wanted.webhook_secret.get_secret_value()
        webhook = Webhook(wanted.webhook, secret=secret, timeout_seconds=wanted.timeout_seconds)
        found[Channel.WEBHOOK] = Teller(Channel.WEBHOOK, queue, webhook.deliver)
    if wanted.kafka:
        topic, key = KafkaAnnouncements(settings.kafka), settings.retrain.policy.name.encode()

        def write(announcement: Announcement) -> str | None:
            return topic.write(key, body_of(announcement), headers_of(announcement))

        found[Channel.KAFKA] = Teller(Channel.KAFKA, queue, write)
    return found


def adopt_given_models(engine: Engine, settings: Settings) -> None:
    """Make the models that the settings name the first champions of roles that have none.

    Raises `InvalidSetting` where a model is wanted and none is named, or one is named that cannot be used.
    """
    models, releases = RewardRegistry(engine), releases_of(engine, settings)
    adopt_weights(settings, models, releases)
    if settings.rewards.backend == "huggingface" and models.champion_version() is None:
        artifact = _given_ensemble(settings)
        if releases.adopt(artifact, by=_BY):
            log.info("champion_adopted", role=RewardResult.role, version=artifact.version, path=artifact.path)
    policy = settings.retrain.policy
    if policy.model is not None and models.champion_version(POLICY) is None:
        try:
            artifact = policy_artifact(policy.model)
        except (InvalidInput, OSError) as error:
            raise InvalidSetting(f"retrain.policy.model: {error}") from None
        if releases.adopt(artifact, by=_BY, role=POLICY, served_as=policy.served_as):
            log.info("champion_adopted", role=POLICY, version=artifact.version, path=artifact.path)


def _given_ensemble(settings: Settings) -> Artifact:
    if not settings.rewards.models:
        raise InvalidSetting("there is no reward model yet: name the folders of the first ones in rewards.models")
    folder = settings.retrain.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return gather_artifact(settings.rewards.models, folder)
    except OSError as error:
        advice = "name a folder that can be written, with room for the models of rewards.models"
        raise InvalidSetting(f"retrain.folder = {str(folder)!r}: {error.strerror}; {advice}") from None
