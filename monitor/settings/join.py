"""Settings of calls that come in pieces, of what is kept of their texts, and of what is taken out before."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.settings.part import Part


class JoinSettings(Part):
    seconds: float = Field(
        30.0, ge=0, le=3600, description="how long a call waits for its texts and its parent span; 0 waits for nothing"
    )
    max_fragments: int = Field(
        200_000, ge=0, description="parts that wait at most; beyond it the oldest calls are taken as they are"
    )


class RedactionSettings(Part):
    patterns: tuple[Literal["email", "phone", "card", "key"], ...] = Field(
        (), description="what is replaced in every text before anything is stored, hashed or scored"
    )
    function: str | None = Field(
        None,
        description="import path `package.module:name` of a function from text to text; it runs after the patterns",
    )


class TextSettings(Part):
    keep: Literal["all", "sampled", "none"] = Field(
        "all", description="which texts of traces are stored; signals and rewards see all of them"
    )
    ratio: float = Field(0.01, gt=0, le=1, description="share of traces whose texts are stored where keep is `sampled`")
