"""What embeds prompts in the worker, and what scores: both are one where the reward model's states are wanted."""

from __future__ import annotations

from collections.abc import Callable

from monitor.embedding import embedder_of
from monitor.errors import InvalidSetting
from monitor.observe.embedding import Embedder
from monitor.observe.scoring import RewardModel
from monitor.rewards.champion import ChampionScorer
from monitor.rewards.http import HttpScorer
from monitor.rewards.turns import SharedScorer
from monitor.settings.root import Settings
from monitor.telemetry.metrics import Metrics


def require_embeddable(settings: Settings) -> None:
    """Raise `InvalidSetting` where prompts are to be embedded by a reward model that is not in this process."""
    if settings.ingest.embedding.backend == "reward" and settings.rewards.backend != "huggingface":
        raise InvalidSetting(
            "ingest.embedding.backend = 'reward' reads the reward model's own states, so it wants rewards.backend ="
            f" 'huggingface' and not {settings.rewards.backend!r}; 'huggingface' and 'http' embed without one"
        )


def open_embedder(
    settings: Settings, scorer: ChampionScorer | HttpScorer, shared: SharedScorer, metrics: Metrics
) -> tuple[Embedder | None, Callable[[], RewardModel | None]]:
    """Return what embeds prompts, None where nothing does, and what the worker scores with.

    *shared* takes turns at the ensemble that *scorer* holds. Raises `InvalidInput` for an encoder that cannot be read.
    """
    embedding = settings.ingest.embedding
    if embedding.backend == "reward" and isinstance(scorer, ChampionScorer):
        from monitor.embedding.huggingface_reward import RewardStates  # noqa: PLC0415 - torch takes seconds to import

        states = RewardStates(
            scorer.current, lock=shared.lock, dimensions=embedding.dimensions, on_missing=metrics.count_unembedded
        )
        return states, states.reward_model
    return embedder_of(embedding, on_missing=metrics.count_unembedded), shared.current
