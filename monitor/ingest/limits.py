"""The decoder's limits, from the settings."""

from __future__ import annotations

from datetime import timedelta

from monitor.ingest.decode import DecodeLimits
from monitor.settings.ingest import IngestSettings


def limits_of(settings: IngestSettings) -> DecodeLimits:
    return DecodeLimits(
        max_response_characters=settings.max_response_characters,
        max_prompt_characters=settings.max_prompt_characters,
        max_future=timedelta(days=settings.max_future_days),
        label_keys=frozenset(settings.cohort_keys),
    )
