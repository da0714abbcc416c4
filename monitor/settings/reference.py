"""Settings of asking the released policy again."""

from __future__ import annotations

from pydantic import Field, SecretStr

from monitor.settings.part import Part


class ReferenceSettings(Part):
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="of the released policy on an OpenAI-compatible server, with or without /v1; null: asks nothing",
    )
    model: str | None = Field(None, description="the policy's name there; null where it serves but one")
    api_key: SecretStr | None = Field(None, description="sent as a bearer token")
    temperature: float | None = Field(
        None, ge=0, le=2, description="as production samples; null: the server's default, which must be production's"
    )
    max_tokens: int | None = Field(
        None, ge=1, description="production's limit of an answer; null: where its answers of late were cut, if any"
    )
    max_prompts: int = Field(400, ge=20, le=10_000, description="prompts asked again for one alarm, at most")
    concurrency: int = Field(8, ge=1, le=64, description="requests at once")
    timeout_seconds: float = Field(60.0, gt=0, le=600, description="time one request may take")
    daily_requests: int = Field(5_000, ge=1, description="requests a day (UTC), at most")
    daily_tokens: int = Field(5_000_000, ge=1, description="tokens of prompts and answers a day, at most")
    alpha: float = Field(0.01, gt=0, lt=0.5, description="probability of each wrong verdict")
    patience_seconds: float = Field(
        600.0, ge=0, description="time a page waits for the verdict; then it goes out without one"
    )
    control_ratio: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of all prompts that is asked again without any alarm; say .01",
    )
