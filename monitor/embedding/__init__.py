"""Prompts as vectors: by an encoder in this process or by a server, as `ingest.embedding.backend` says."""

from __future__ import annotations

from collections.abc import Callable

from monitor.observe.embedding import Embedder
from monitor.settings.embedding import EmbeddingSettings


def embedder_of(
    settings: EmbeddingSettings, *, on_missing: Callable[[int], None] = lambda _count: None
) -> Embedder | None:
    """Return what embeds prompts by itself, None where nothing does; *on_missing* is told how many were not embedded.

    A reward model's own states come from where it scores, `huggingface_reward`.
    Raises `InvalidInput` for a folder that holds no sentence encoder.
    """
    if settings.backend == "huggingface":
        from monitor.embedding.huggingface import load_embedder  # noqa: PLC0415 - torch takes seconds to import

        return load_embedder(settings, on_missing=on_missing)
    if settings.backend == "http":
        from monitor.embedding.http import HttpEmbedder  # noqa: PLC0415 - needless without it

        return HttpEmbedder(settings, on_missing=on_missing)
    return None
