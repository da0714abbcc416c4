"""Text classifiers from local Hugging Face folders, run by torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.errors import InvalidInput
from monitor.extra import needed
from monitor.judges.folder_form import Floats, FolderForm
from monitor.rewards.huggingface import choose_pad_id, load_encoder, quiet_transformers, resolve_device
from monitor.rewards.packing import BatchLimits, plan_batches

with needed("gpu", "a classifier from a folder"):
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    from monitor.rewards.huggingface_loading import dtype_on

MAX_BATCH_ROWS = 1024
CHARACTERS_PER_TOKEN = 16  # what is longer is cut before it is read
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HuggingFaceClassifier:
    """Reads rows to `max_tokens`, the end of a longer one left out; for one thread at a time."""

    model: Any
    tokenizer: Any
    pad_id: int
    max_tokens: int
    limits: BatchLimits
    several: bool  # labels do not exclude each other

    def probabilities(self, rows: Sequence[tuple[str, str | None]]) -> list[Floats | None]:
        found: list[Floats | None] = [None] * len(rows)
        encoded = [self._encode(*row) for row in rows]
        for batch in plan_batches([len(row["input_ids"]) for row in encoded], self.limits):
            self._classify(batch, encoded, found)
        return found

    def _encode(self, text: str, pair: str | None) -> dict[str, list[int]]:
        first, second = self._clean(text), None if pair is None else self._clean(pair)
        encoded = self.tokenizer(first, second, truncation=True, max_length=self.max_tokens, verbose=False)
        return dict(encoded)

    def _clean(self, text: str) -> str:
        """Cut what is far too long; half of a surrogate pair is read as a question mark."""
        return text[: CHARACTERS_PER_TOKEN * self.max_tokens].encode("utf-8", "replace").decode()

    def _classify(
        self, batch: Sequence[int], encoded: Sequence[dict[str, list[int]]], found: list[Floats | None]
    ) -> None:
        """Fill in what is *found* of a *batch*; a row that breaks it is told apart by halving, and has nothing."""
        try:
            told = self._forward([encoded[number] for number in batch])
        except torch.AcceleratorError:  # the device is lost; nothing that follows can be trusted
            raise
        except (RuntimeError, IndexError, ValueError) as error:  # a lack of memory too
            if len(batch) == 1:
                length = len(encoded[batch[0]]["input_ids"])
                _log.warning("an answer of %d tokens is not classified: %s", length, type(error).__name__)
                return
            middle = len(batch) // 2
            self._classify(batch[:middle], encoded, found)
            self._classify(batch[middle:], encoded, found)
            return
        for number, row in zip(batch, told, strict=True):
            found[number] = row if np.isfinite(row).all() else None

    def _forward(self, rows: Sequence[dict[str, list[int]]]) -> Floats:
        longest = max(len(row["input_ids"]) for row in rows)
        inputs = {}
        for name in rows[0]:
            filling = self.pad_id if name == "input_ids" else 0
            padded = [row[name] + [filling] * (longest - len(row[name])) for row in rows]
            inputs[name] = torch.tensor(padded, device=self.model.device)
        with torch.inference_mode():
            logits = self.model(**inputs).logits.float()
            shares = torch.sigmoid(logits) if self.several else torch.softmax(logits, dim=-1)
        told: Floats = shares.double().cpu().numpy()
        return told


def load_classifier(form: FolderForm) -> HuggingFaceClassifier:
    """Load the classifier in a folder; raises `InvalidInput` naming it."""
    folder, device = form.folder, resolve_device(form.device)
    try:
        encoder = load_encoder(folder, max_tokens=form.max_tokens)
        with quiet_transformers():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, dtype=dtype_on(device), output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InvalidInput(f"{folder} cannot be loaded as a text classifier: {reason}") from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"]))
        raise InvalidInput(f"{folder} has no weights for {missing}: its files are not complete, or of another model")
    pad_id = choose_pad_id(folder, model.config, encoder.tokenizer)
    model.config.get_text_config().pad_token_id = pad_id
    kind = model.config.problem_type
    return HuggingFaceClassifier(
        model=model.to(device).eval(),
        tokenizer=encoder.tokenizer,
        pad_id=pad_id,
        max_tokens=encoder.max_tokens,
        limits=BatchLimits(form.batch_tokens, MAX_BATCH_ROWS),
        several=kind == "multi_label_classification" or model.config.num_labels == 1,
    )
