"""Settings of the reward model: where the daemon computes rewards, and how `serve-rewards` serves them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from monitor.domain.anchor import MAX_ANCHORS
from monitor.settings.part import Part


class RewardEndpoint(Part):
    url: str = Field(
        pattern=r"^https?://[^\s@]+$", description="of `serve-rewards` or of a vLLM server, without a path"
    )
    model: str | None = Field(None, description="the model's name there; null where it serves but one")


class AnchorSettings(Part):
    """Fixed prompts and answers that are scored again and again: if their scores move, the scorer has changed."""

    file: Path | None = Field(
        None, description='JSON lines of {"messages", "response"}; null draws the pairs from the baseline\'s window'
    )
    size: int = Field(64, ge=0, le=MAX_ANCHORS, description="pairs drawn from the window; 0 keeps no anchor set")
    period_seconds: float = Field(3600.0, ge=10, le=7 * 86_400, description="time between two scorings of the set")
    tolerance: float = Field(
        0.05,
        gt=0,
        le=1,
        description="what is rounding, in the rewards' sd: the pairs' mean shift; of one pair, twice",
    )


class RewardsSettings(Part):
    backend: Literal["none", "huggingface", "http"] = Field("none", description="where rewards are computed")
    models: tuple[Path, ...] = Field(
        (),
        description="member folders, for `huggingface` and `serve-rewards`; the daemon prefers a registered champion",
    )
    endpoints: tuple[RewardEndpoint, ...] = Field(
        (), description="for `http`: the ensemble behind one `serve-rewards`, or one vLLM server for each member"
    )
    form: Literal["messages", "text"] = Field(
        "messages", description="for `http`: conversations for the server's chat template, or plain lines"
    )
    api_key: SecretStr | None = Field(None, description="for `http`: sent to every endpoint as a bearer token")
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="for `http`: time one request may take")
    attempts: int = Field(4, ge=1, le=20, description="for `http`: tries of a request before the worker waits")
    concurrency: int = Field(32, ge=1, le=256, description="for `http`: requests at once")
    rows_per_request: int = Field(32, ge=1, le=1024, description="for `http`: texts in a request of the form `text`")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda' or 'cuda:N'")
    max_tokens: int = Field(1024, ge=8, description="tokens of prompt and response a member reads")
    batch_tokens: int = Field(16_384, ge=64, description="padded tokens in one forward pass")
    temperature: float = Field(
        1.0,
        gt=0,
        description="by which reward margins are divided before their sigmoid is `reward_win`, for scorers without a"
        " calibration of their own; after a change, freeze a new baseline",
    )
    lower_beta: float = Field(1.0, ge=0, description="standard deviations between the mean and the lower bound")
    anchor: AnchorSettings = AnchorSettings()

    @property
    def is_anchored(self) -> bool:
        """Say whether an anchor set is scored: where no reward model is, there is nothing to score it."""
        return self.backend != "none" and (self.anchor.file is not None or self.anchor.size > 0)

    @model_validator(mode="after")
    def _has_endpoints(self) -> RewardsSettings:
        if self.backend == "http" and not self.endpoints:
            raise ValueError("backend 'http' wants rewards.endpoints, at least one {url: http://host:port}")
        return self


class ServeSettings(Part):
    host: str = Field("127.0.0.1", min_length=1, description="address `serve-rewards` listens on; it asks for no token")
    port: int = Field(8000, ge=0, le=65535, description="its port; 0 picks one")
    model: str = Field("reward", min_length=1, description="name of the whole ensemble, which answers with its mean")
    max_request_bytes: int = Field(8_388_608, ge=1024, description="longer requests are refused with 413")
    max_request_rows: int = Field(1024, ge=1, description="requests with more prompts are refused with 400")
    max_requests: int = Field(256, ge=1, description="requests taken and not answered; more are refused with 503")
