"""Sentence encoders from local Hugging Face folders, run by torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.embedding.projection import Projection
from monitor.errors import InvalidInput
from monitor.extra import needed
from monitor.observe.embedding import Embedded, Prompt, texts_of
from monitor.rewards.huggingface import choose_pad_id, load_encoder, quiet_transformers, resolve_device
from monitor.rewards.packing import BatchLimits, plan_batches
from monitor.runs.artifact import artifact_sha256, short_version
from monitor.settings.embedding import EmbeddingSettings

with needed("gpu", "ingest.embedding.backend = 'huggingface'"):
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

MAX_BATCH_ROWS = 1024
CHARACTERS_PER_TOKEN = 16  # what is longer is cut before it is read, a very long prompt above all
POOLING = "1_Pooling/config.json"  # where sentence-transformers says how a text's vector is made of its tokens'
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """The model in a folder; a text's vector is the mean of its tokens' or the first one's, as the folder says."""

    model: Any
    tokenizer: Any
    pad_id: int
    pooling: str
    width: int

    def forward(self, rows: Sequence[list[int]]) -> NDArray[np.float32]:
        """Return the vectors of rows of token ids."""
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        device = self.model.device
        attended = torch.from_numpy(mask).to(device)
        with torch.inference_mode():
            states = self.model(input_ids=torch.from_numpy(ids).to(device), attention_mask=attended)[0].float()
            if self.pooling == "first":
                pooled = states[:, 0]
            else:
                pooled = (states * attended[..., None]).sum(1) / attended.sum(1, keepdim=True)
        vectors: NDArray[np.float32] = pooled.cpu().numpy()
        return vectors


class HuggingFaceEmbedder:
    """Embeds prompts by a sentence encoder; for one thread at a time."""

    def __init__(
        self,
        encoder: SentenceEncoder,
        *,
        version: str,
        max_tokens: int,
        batch_tokens: int,
        dimensions: int,
        on_missing: Callable[[int], None],
    ) -> None:
        self._encoder = encoder
        self._projection = Projection(encoder.width, dimensions)
        self.version = f"{version}/{max_tokens}/{self._projection.version}"
        self._max_tokens = max_tokens
        self._limits = BatchLimits(batch_tokens, MAX_BATCH_ROWS)
        self._on_missing = on_missing

    def embed(self, prompts: Sequence[Prompt | None]) -> Embedded:
        vectors = np.full((len(prompts), self._encoder.width), np.nan, np.float32)
        texts = texts_of(prompts)
        asked, tokens = list(texts), [self._tokens(text) for text in texts.values()]
        for batch in plan_batches(map(len, tokens), self._limits):
            self._embed(batch, tokens, asked, vectors)
        short = self._projection.apply(vectors)
        missing = int(np.isnan(short[asked]).any(axis=1).sum())
        if missing:
            self._on_missing(missing)
        return Embedded(self.version, short)

    def close(self) -> None:
        """Nothing is held open."""

    def _tokens(self, prompt: str) -> list[int]:
        """Return the beginning of *prompt* as token ids; half of a surrogate pair is read as a question mark."""
        text = prompt[: CHARACTERS_PER_TOKEN * self._max_tokens].encode("utf-8", "replace").decode()
        encoded = self._encoder.tokenizer(text, truncation=True, max_length=self._max_tokens, verbose=False)
        ids: list[int] = encoded["input_ids"]
        return ids

    def _embed(
        self, batch: Sequence[int], tokens: Sequence[list[int]], asked: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        """Fill in the vectors of *batch*; a row that breaks it is found by halving and has none."""
        try:
            vectors[[asked[number] for number in batch]] = self._encoder.forward([tokens[number] for number in batch])
        except torch.AcceleratorError:  # the device is lost; nothing that follows can be trusted
            raise
        except (RuntimeError, IndexError, ValueError) as error:  # a lack of memory too
            if len(batch) == 1:
                _log.warning("a prompt of %d tokens has no embedding: %s", len(tokens[batch[0]]), type(error).__name__)
                return
            middle = len(batch) // 2
            self._embed(batch[:middle], tokens, asked, vectors)
            self._embed(batch[middle:], tokens, asked, vectors)


def load_embedder(settings: EmbeddingSettings, *, on_missing: Callable[[int], None]) -> HuggingFaceEmbedder:
    """Load the sentence encoder that *settings* name; raises `InvalidInput` naming the folder."""
    assert settings.folder is not None
    folder = settings.folder
    if not (folder / "config.json").is_file():
        raise InvalidInput(f"ingest.embedding.folder = {str(folder)!r}: wanted a folder with a model's config.json")
    device = resolve_device(settings.device)
    dtype = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    try:
        encoder = load_encoder(folder, max_tokens=settings.max_tokens)
        with quiet_transformers():
            model, report = AutoModel.from_pretrained(
                folder, local_files_only=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InvalidInput(f"{folder} cannot be loaded as a sentence encoder: {reason}") from None
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)  # the pooler is not asked
    if missing:
        raise InvalidInput(f"{folder} has no weights for {', '.join(missing)}: its files are not complete")
    pad_id = choose_pad_id(folder, model.config, encoder.tokenizer)
    width = model.config.get_text_config().hidden_size
    return HuggingFaceEmbedder(
        SentenceEncoder(model.to(device).eval(), encoder.tokenizer, pad_id, pooling_of(folder), width),
        version=short_version(artifact_sha256(folder)),
        max_tokens=encoder.max_tokens,
        batch_tokens=settings.batch_tokens,
        dimensions=settings.dimensions,
        on_missing=on_missing,
    )


def pooling_of(folder: Path) -> str:
    """Return how *folder* wants a text's vector made: "mean", also where it says nothing, or "first"."""
    file = folder / POOLING
    if not file.is_file():
        return "mean"
    try:
        chosen = {name for name, value in json.loads(file.read_text(encoding="utf-8")).items() if value is True}
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from None
    modes = [name for name in chosen if name.startswith("pooling_mode")]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise InvalidInput(
            f"{file} wants {', '.join(sorted(modes)) or 'nothing'}; known is one of {', '.join(POOLINGS)}"
        )
    return POOLINGS[modes[0]]
