"""What goes with a promotion: the first champions, which the settings name."""

from __future__ import annotations

import structlog
from sqlalchemy import Engine

from monitor.app.retraining import releases_of
from monitor.errors import InvalidInput, InvalidSetting
from monitor.postgres.registry import RewardRegistry
from monitor.retraining.records import Author
from monitor.rewards.champion import gather_artifact
from monitor.runs.artifact import Artifact, policy_artifact
from monitor.runs.policy import POLICY
from monitor.runs.result import RewardResult
from monitor.settings.root import Settings

_BY = Author("settings", "daemon")
log = structlog.get_logger(__name__)


def adopt_given_models(engine: Engine, settings: Settings) -> None:
    """Make the models that the settings name the first champions of roles that have none.

    Raises `InvalidSetting` where a model is wanted and none is named, or one is named that cannot be used.
    """
    models, releases = RewardRegistry(engine), releases_of(engine, settings)
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
