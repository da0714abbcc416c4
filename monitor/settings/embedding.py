"""Settings of prompt embeddings: a covariate that is computed on request."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from monitor.settings.part import Part


class EmbeddingSettings(Part):
    backend: Literal["none", "huggingface", "http", "reward"] = Field(
        "none",
        description="what embeds prompts; `reward`: the reward model's own state, for `rewards.backend: huggingface`",
    )
    folder: Path | None = Field(None, description="for `huggingface`: folder of a sentence encoder")
    url: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="for `http`: of a server that answers `/v1/embeddings`, without that path",
    )
    model: str | None = Field(None, description="for `http`: the model's name there")
    api_key: SecretStr | None = Field(None, description="for `http`: sent as a bearer token")
    timeout_seconds: float = Field(
        10.0, gt=0, le=25, description="for `http`: time a batch may take; the traces then go on without"
    )
    concurrency: int = Field(8, ge=1, le=256, description="for `http`: requests at once")
    rows_per_request: int = Field(64, ge=1, le=2048, description="for `http`: prompts in a request")
    device: str = Field("auto", description="for `huggingface`: 'auto', 'cpu', 'cuda' or 'cuda:N'")
    max_tokens: int = Field(
        256, ge=8, description="tokens of a prompt that are read, or four characters each by `http`"
    )
    batch_tokens: int = Field(16_384, ge=64, description="for `huggingface`: padded tokens in one forward pass")
    dimensions: int = Field(
        32, ge=1, le=1024, description="numbers that are kept; a longer embedding is projected, 2 bytes each a trace"
    )

    @model_validator(mode="after")
    def _names_its_model(self) -> EmbeddingSettings:
        if self.backend == "huggingface" and self.folder is None:
            raise ValueError("backend 'huggingface' wants ingest.embedding.folder, a sentence encoder's")
        if self.backend == "http" and (self.url is None or self.model is None):
            raise ValueError("backend 'http' wants ingest.embedding.url and ingest.embedding.model")
        return self
