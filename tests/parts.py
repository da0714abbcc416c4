"""Parts of model calls, as formats yield them."""

from __future__ import annotations

from datetime import timedelta

from monitor.ingest.decode import DecodeLimits
from monitor.ingest.part import Part, PartKind
from monitor.ingest.record import Position
from tests.traces import START

LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366))
SECOND = 1_000_000_000
START_NS = int(START.timestamp()) * SECOND
NOW = START + timedelta(days=1)
HERE: Position = ("spans", 0, 0)


def call(span: str = "c", **changes: object) -> Part:
    """Return the span of an answered call with all its texts, at the root of its request."""
    usual: dict[str, object] = {
        "kind": PartKind.CALL, "trace": "t", "span": span, "start_ns": START_NS, "end_ns": START_NS + SECOND,
        "model": "phi-2", "messages": (("user", "Q?"),), "response": "A.", "output_tokens": 2,
    }  # fmt: skip
    return Part(**usual | changes)  # type: ignore[arg-type]


def bare(span: str = "c", **changes: object) -> Part:
    """Return the span of a call without its texts."""
    return call(span, **{"messages": (), "response": None} | changes)


def content(span: str = "c", **changes: object) -> Part:
    """Return the texts of a call, as a log record tells them."""
    usual: dict[str, object] = {
        "kind": PartKind.CONTENT, "trace": "t", "span": span, "end_ns": START_NS + SECOND,
        "messages": (("user", "Q?"),), "response": "A.",
    }  # fmt: skip
    return Part(**usual | changes)  # type: ignore[arg-type]


def context(span: str = "p", **changes: object) -> Part:
    """Return a span that is no call, at the root of its request."""
    usual: dict[str, object] = {
        "kind": PartKind.CONTEXT, "trace": "t", "span": span, "start_ns": START_NS, "end_ns": START_NS + 2 * SECOND,
    }  # fmt: skip
    return Part(**usual | changes)  # type: ignore[arg-type]
