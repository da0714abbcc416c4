"""Reward models in this process, loaded as the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.settings.rewards import RewardsSettings

if TYPE_CHECKING:
    from monitor.rewards.huggingface import HuggingFaceEnsemble


def load_rewards(
    rewards: RewardsSettings, folders: Sequence[Path], *, version: str | None = None
) -> HuggingFaceEnsemble:
    """Load the ensemble in *folders*; raises `InvalidInput` naming the folder that holds none."""
    from monitor.rewards.huggingface import load_ensemble  # noqa: PLC0415 - torch takes seconds to import

    return load_ensemble(
        folders,
        device=rewards.device,
        max_tokens=rewards.max_tokens,
        batch_tokens=rewards.batch_tokens,
        beta=rewards.lower_beta,
        version=version,
    )
