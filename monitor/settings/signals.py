"""Settings of what is observed on traces."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from monitor.settings.part import Part
from monitor.signals.refusal.observers import BY_PATTERNS, LEARNED
from monitor.signals.table import OPTIONAL_SIGNALS, SIGNALS, TRACE_SIGNALS


class SignalSettings(Part):
    on: tuple[str, ...] = Field(
        (), description="optional signals to observe too; each one more has its share of the budget of false pages"
    )
    off: tuple[str, ...] = Field((), description="signals that are observed by default, and shall not be")

    refusal: str = Field(
        LEARNED,
        description="what reads refusals: `learned`, `patterns` (English, 0 or 1), or a file that"
        " `python -m retrain refusal` wrote",
    )

    @field_validator("refusal")
    @classmethod
    def _is_there(cls, chosen: str) -> str:
        if chosen not in (LEARNED, BY_PATTERNS) and not Path(chosen).is_file():
            raise ValueError(f"{chosen!r} is neither {LEARNED!r} nor {BY_PATTERNS!r} nor a file that is there")
        return chosen

    @model_validator(mode="after")
    def _known_signals(self) -> SignalSettings:
        default, optional = ([signal.name for signal in table] for table in (TRACE_SIGNALS, OPTIONAL_SIGNALS))
        for field, names, known in (("on", self.on, optional), ("off", self.off, default)):
            for name in names:
                if name not in known:
                    raise ValueError(f"{field} names {name!r}{_why(field, name)}; known are {_listed(known)}")
        return self


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _why(field: str, name: str) -> str:
    """Say what is the matter with a signal that stands in the wrong list."""
    others = {"on": TRACE_SIGNALS, "off": OPTIONAL_SIGNALS}[field]
    if name in {signal.name for signal in others}:
        return f", which is {field} by default"
    return ", which is not read from traces alone" if name in SIGNALS else ""
