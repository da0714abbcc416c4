"""Settings of calls that come in pieces."""

from __future__ import annotations

from pydantic import Field

from monitor.settings.part import Part


class JoinSettings(Part):
    seconds: float = Field(
        30.0, ge=0, le=3600, description="how long a call waits for its texts and its parent span; 0 waits for nothing"
    )
    max_fragments: int = Field(
        200_000, ge=0, description="parts that wait at most; beyond it the oldest calls are taken as they are"
    )

    @property
    def patience_seconds(self) -> float:
        return self.seconds if self.max_fragments else 0.0
