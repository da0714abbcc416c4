"""Settings of probes: fixed questions that the live model is asked again and again."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from monitor.settings.part import Part


class ProbeSettings(Part):
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="the live model on an OpenAI-compatible server, with or without /v1; null: asks nothing",
    )
    model: str | None = Field(None, description="its name there; null where it serves but one")
    policy_model: str | None = Field(
        None, description="name its traces have, under which outcomes are filed; null: as the server calls it"
    )
    api_key: SecretStr | None = Field(None, description="sent as a bearer token")
    temperature: float | None = Field(None, ge=0, le=2, description="null: the server's default")
    max_tokens: int = Field(512, ge=1, description="tokens of an answer at most")
    timeout_seconds: float = Field(60.0, gt=0, le=600, description="time one request may take")
    concurrency: int = Field(4, ge=1, le=64, description="requests at once")
    cron: str = Field("0 * * * *", description="crontab of the runs, UTC")
    items_per_run: int = Field(40, ge=1, le=10_000, description="of each suite, drawn anew for each run")
    suites: dict[str, Path] = Field(
        {},
        description="files that take the place of a packaged suite, by its name, or stand beside them (docs/probes.md)",
    )
    baseline_outcomes: int = Field(
        200, ge=20, description="outcomes of a suite from which its own law is frozen; before that it raises no alarm"
    )
