"""Settings of who says that an answer refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from monitor.settings.judge import ClassifierSettings, JudgeSettings
from monitor.settings.part import Part


class RefusalSettings(Part):
    model: Literal["learned", "patterns"] | Path = Field(
        "learned",
        description="`learned`, `patterns` (English, 0 or 1), a file that `python -m retrain refusal` wrote, or a"
        " Hugging Face text-classification folder; another one is another series, whose baseline is made by itself",
    )
    labels: tuple[str, ...] = Field(
        (), description="labels of the folder that mean a refusal, in full or in part, by the names in its config.json"
    )
    full_labels: tuple[str, ...] = Field((), description="those of them that mean a refusal in full; none: all do")
    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="probability from which the folder's reading counts as a refusal, in probes and the gate; weights"
        " of the learned model state their own",
    )
    own_process: bool = Field(
        True,
        description="read large batches by the learned model in a process of its own, where there are two processors"
        " or more: a quarter more traces a second, for 60 MB",
    )
    classifier: ClassifierSettings = ClassifierSettings()
    judge: JudgeSettings = JudgeSettings()

    @property
    def is_folder(self) -> bool:
        return isinstance(self.model, Path) and self.model.is_dir()

    @model_validator(mode="after")
    def _says_what_it_means(self) -> RefusalSettings:
        if isinstance(self.model, Path) and not self.model.exists():
            told = f"model = {str(self.model)!r} is neither 'learned' nor 'patterns', nor a file or a folder"
            raise ValueError(told)
        if self.is_folder and not self.labels:
            raise ValueError(f"model = {str(self.model)!r} wants labels: which of the folder's labels mean a refusal")
        if not self.is_folder and (self.labels or self.full_labels):
            raise ValueError(f"labels belong to a folder, and model = {str(self.model)!r} is none")
        if not self.is_folder and "threshold" in self.model_fields_set:
            raise ValueError(f"threshold belongs to a folder, and model = {str(self.model)!r} is none")
        strangers = [name for name in self.full_labels if name not in self.labels]
        if strangers:
            raise ValueError(f"full_labels names {strangers[0]!r}, which labels does not: a full refusal is one too")
        if self.judge.endpoint is not None and self.judge.model is None:
            raise ValueError("judge.endpoint wants judge.model: its name is part of the series' version")
        return self
