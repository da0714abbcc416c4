"""What an answer costs by a table of prices: the signal `cost`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b

from monitor.domain.signal import Observation, Signal, SignalKind
from monitor.domain.trace import TokenSource, Trace

# Millionths, so that a cent is 10,000: prices are per million tokens, and the scale of lengths wants numbers above one.
COST = Signal("cost", SignalKind.LENGTH, "millionths", "what a call costs, in millionths of the price table's currency")

REPORTED = TokenSource.REPORTED


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens of the models that `model` matches, a pattern with `*` and `?`."""

    model: str
    input: float
    output: float
    cached_input: float | None = None  # None: as any other input


def version_of(prices: Sequence[Price]) -> str:
    """Return the name of a table of prices: the same for the same prices, on every machine."""
    return f"prices-{blake2b(repr(tuple(prices)).encode(), digest_size=4).hexdigest()}"


def cost_observer(
    prices: Sequence[Price], unknown: Callable[[str], None] = lambda model: None
) -> Callable[[Trace], Observation | None]:
    """Return what observes costs; the first price that matches a model holds.

    Calls whose tokens were not reported are not observed, nor those of a model without a price; *unknown* is told
    such a model's name. The version names the table: with other prices a new baseline begins.
    """
    version = version_of(prices)

    @lru_cache(4_096)
    def price_of(model: str) -> Price | None:
        found = next((price for price in prices if fnmatchcase(model, price.model)), None)
        if found is None:
            unknown(model)
        return found

    def observe(trace: Trace) -> Observation | None:
        if trace.input_tokens is None or trace.output_tokens is None or trace.output_tokens_source is not REPORTED:
            return None
        price = price_of(trace.policy_model)
        if price is None:
            return None
        cached = min(trace.cached_input_tokens or 0, trace.input_tokens)
        of_cached = price.input if price.cached_input is None else price.cached_input
        cost = (trace.input_tokens - cached) * price.input + cached * of_cached + trace.output_tokens * price.output
        return Observation(COST.name, version, cost)

    return observe
