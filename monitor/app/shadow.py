"""A candidate ensemble beside the champion, from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Engine

from monitor.domain.shadow import ShadowJob
from monitor.observe.scoring import RewardModel
from monitor.observe.shadow import Shadowing
from monitor.postgres.leader import Leadership
from monitor.postgres.shadow import ShadowLog
from monitor.rewards.turns import SharedScorer
from monitor.runs.artifact import Artifact
from monitor.settings.root import Settings

SHADOW_SECONDS = 2.0  # between two looks at whether a candidate waits
LEASE = "shadow"  # one replica holds the candidate


def is_shadowed(settings: Settings) -> bool:
    """Say whether candidates score beside the champion here."""
    return settings.rewards.backend == "huggingface" and settings.retrain.shadow.traces > 0


def shadowing_of(
    settings: Settings, engine: Engine, *, load: Callable[[Artifact], RewardModel], scorer: SharedScorer
) -> Shadowing:
    def candidate(job: ShadowJob) -> RewardModel:
        return load(Artifact(job.version, job.path, job.sha256))

    return Shadowing(
        ShadowLog(engine),
        Leadership(engine, role=LEASE),
        candidate,
        turn_of=scorer.lock,
        traces=settings.retrain.shadow.traces,
        clock=time.monotonic,
    )
