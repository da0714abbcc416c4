"""Settings of texts: what is taken out of them before anything is stored, and which of them are stored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.settings.part import Part


class RedactionSettings(Part):
    patterns: tuple[Literal["email", "phone", "card", "key"], ...] = Field(
        (), description="what is replaced in every text before anything is stored, hashed or scored"
    )
    function: str | None = Field(
        None,
        description="import path `package.module:name` of a function from text to text; it runs after the patterns",
    )
    dead_letters: Literal["keep", "withhold"] = Field(
        "keep",
        description="a dead letter is a record as it came, so that it can be replayed; `withhold` writes no key, no"
        " value and no header of it, only where it stood",
    )

    @property
    def is_on(self) -> bool:
        return bool(self.patterns) or self.function is not None


class TextSettings(Part):
    keep: Literal["all", "sampled", "none"] = Field(
        "all", description="which texts of traces are stored; signals and rewards see all of them"
    )
    ratio: float = Field(0.01, gt=0, le=1, description="share of traces whose texts are stored where keep is `sampled`")
