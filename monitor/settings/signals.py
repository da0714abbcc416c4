"""Settings of what is observed on traces."""

from __future__ import annotations

from pydantic import Field, model_validator

from monitor.settings.own import OwnSignal
from monitor.settings.part import Part
from monitor.settings.refusal import RefusalSettings
from monitor.signals.cost import COST
from monitor.signals.table import OPTIONAL_SIGNALS, SIGNALS, TRACE_SIGNALS


class PriceSettings(Part):
    model: str = Field(min_length=1, description="policy models that it is of: a pattern with `*` and `?`")
    input: float = Field(ge=0, description="of a million input tokens, in any one currency")
    output: float = Field(ge=0, description="of a million output tokens")
    cached_input: float | None = Field(None, ge=0, description="of a million cached input tokens; null: as any others")


class SignalSettings(Part):
    on: tuple[str, ...] = Field(
        (), description="optional signals to observe too; each one more has its share of the budget of false pages"
    )
    off: tuple[str, ...] = Field((), description="signals that are observed by default, and shall not be")
    refusal: RefusalSettings = RefusalSettings()
    prices: tuple[PriceSettings, ...] = Field(
        (), description="what tokens cost, for the signal `cost`: the first one that fits a model holds"
    )

    @model_validator(mode="after")
    def _priced(self) -> SignalSettings:
        if COST.name in self.on and not self.prices:
            raise ValueError("on names 'cost', and no price is told: list them in signals.prices")
        return self

    own: tuple[OwnSignal, ...] = Field(
        (), description="signals of your own: docs/signals.md; each one more has its share of the budget too"
    )

    @model_validator(mode="after")
    def _distinct_names(self) -> SignalSettings:
        names = [own.name for own in self.own]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"own has two signals of the name {name!r}; give each its own")
        return self

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
