"""Settings of who judges answers beside the program's own rules: a classifier's folder, and a model that is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from monitor.settings.part import Part


class ClassifierSettings(Part):
    """How a text-classification folder is read."""

    reads: Literal["answer", "exchange"] = Field(
        "answer", description="the answer alone, or the prompt and the answer as a pair of texts"
    )
    device: str = Field("auto", description="'auto', 'cpu', 'cuda' or 'cuda:N'")
    max_tokens: int = Field(512, ge=8, description="tokens it reads; what is longer loses its end")
    batch_tokens: int = Field(8192, ge=64, description="padded tokens in one forward pass")


class JudgeSettings(Part):
    """A model that is asked about a share of the answers."""

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="of an OpenAI-compatible server, with or without /v1; null: nobody is asked",
    )
    model: str | None = Field(None, description="the judge's name there; wanted with an endpoint")
    api_key: SecretStr | None = Field(None, description="sent as a bearer token")
    ratio: float = Field(
        0.02, gt=0, le=1, description="share of the answers that is judged, drawn by a hash of their traces' ids"
    )
    max_tokens: int | None = Field(
        64, ge=1, description="limit of a reply; a judge that thinks aloud wants more; null: the server's own"
    )
    batch_seconds: float = Field(
        5.0, gt=0, le=60, description="time that a batch of traces waits for its verdicts; what comes later is missing"
    )
    concurrency: int = Field(8, ge=1, le=64, description="requests at once")
