"""A reward model of one output, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor.errors import InvalidInput
from monitor.extra import needed

with needed("gpu", "scoring with reward models in this process"):
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification


def load_classifier(folder: Path, dtype: torch.dtype) -> Any:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.num_labels != 1:
        raise InvalidInput(f"{folder}: config.json says num_labels = {config.num_labels}, and a reward model has 1")
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, dtype=dtype, output_loading_info=True
    )
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"]))
        raise InvalidInput(f"{folder} has no weights for {missing}: its files are not complete, or of another model")
    return model


def dtype_on(device: torch.device) -> torch.dtype:
    """Return what models compute in on *device*."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
