"""Settings of reading traces: cohorts, batches, and which records are refused."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from monitor.settings.embedding import EmbeddingSettings
from monitor.settings.join import JoinSettings
from monitor.settings.part import Part
from monitor.settings.text import RedactionSettings, TextSettings


class IngestSettings(Part):
    cohort_keys: tuple[str, ...] = Field(
        (), description="trace labels that make the cohort, in order; `prompt_language` is computed"
    )
    max_cohorts: int = Field(50, ge=1, le=1000, description="cohorts kept apart; the rest go to 'other'")
    batch_max_traces: int = Field(
        1000,
        ge=1,
        le=50_000,
        description="records of a checkpoint at most, and traces after which it takes no further one",
    )
    batch_max_bytes: int = Field(
        16 * 1024 * 1024, ge=65_536, description="bytes of the records a checkpoint is made of; a larger one is alone"
    )
    batch_max_seconds: float = Field(1.0, gt=0, le=60, description="age at which a batch is checkpointed")
    repeat_window_seconds: float = Field(
        3600.0, ge=0, description="one trace per conversation and per prompt in this window is observed"
    )
    max_response_characters: int = Field(1_000_000, ge=1, description="longer responses are dead letters")
    max_prompt_characters: int = Field(2_000_000, ge=1, description="longer prompts are dead letters")
    max_future_days: float = Field(366.0, gt=0, description="timestamps further ahead are dead letters")
    tokenizer: Path | None = Field(
        None, description="folder with tokenizer.json that counts output tokens where a producer does not"
    )
    max_bad_run: int = Field(10_000, ge=1, description="this many invalid records in a row stop the worker")
    max_bad_ratio: float = Field(
        0.9, gt=0, le=1, description="share of invalid records among the last 10,000 that stops the worker"
    )
    embedding: EmbeddingSettings = EmbeddingSettings()
    join: JoinSettings = JoinSettings()
    redaction: RedactionSettings = RedactionSettings()
    text: TextSettings = TextSettings()
