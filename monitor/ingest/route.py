"""Which topic carries what in which format, and what its records hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module

from tokenizers import Tokenizer

from monitor.domain.label import Label
from monitor.domain.trace import Preference, Trace
from monitor.errors import InvalidSetting, InvalidTrace
from monitor.ingest.decode import DecodeLimits, count_output_tokens
from monitor.ingest.outcome import Carries, Decode, Format, Outcome, Skipped, SkipReason
from monitor.ingest.part import Part, PartKind
from monitor.ingest.record import Record
from monitor.ingest.redact import Redaction
from monitor.settings.kafka import KafkaSettings

# One line a format. Its module is loaded when a route names it, so that its libraries are needed only then.
FORMATS = {
    "auto": "monitor.ingest.formats.auto",
    "native": "monitor.ingest.formats.native",
    "litellm": "monitor.ingest.formats.litellm",
    "otlp": "monitor.ingest.formats.otlp",
}


@dataclass(frozen=True, slots=True)
class Route:
    topic: str
    carries: Carries
    format: str = "native"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that goes to the dead letters, with the first thing that is wrong with it."""

    record: Record
    invalid: InvalidTrace
    carries: Carries


@dataclass(slots=True)
class RoutedBatch:
    """What a run of records holds, in their order; each trace, preference and label with the record it came from."""

    traces: list[tuple[Trace, Record]] = field(default_factory=list)
    preferences: list[tuple[Preference, Record]] = field(default_factory=list)
    labels: list[tuple[Label, Record]] = field(default_factory=list)
    parts: list[tuple[Part, Record]] = field(default_factory=list)  # of calls that several records tell of
    rejected: list[Rejected] = field(default_factory=list)  # each record once
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    calls: int = 0  # among the parts
    records: int = 0  # it was read from


class Router:
    """Decodes every record by its topic's route."""

    def __init__(
        self,
        routes: Iterable[Route],
        limits: DecodeLimits,
        *,
        tokenizer: Tokenizer | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        """Raise `InvalidSetting` for a format that is unknown or does not carry what its route says."""
        self._routes = {route.topic: (route.carries, decoder_of(route)) for route in routes}
        self._limits = limits
        self._tokenizer = tokenizer
        self._redaction = redaction

    def decode(self, records: Sequence[Record], now: datetime, *, enough: int | None = None) -> RoutedBatch:
        """Return what *records* hold; *now* is aware. No record raises, whatever it holds.

        No further record is read once *enough* traces and calls are there; `records` tells how many were.
        """
        batch = RoutedBatch(records=len(records))
        for number, record in enumerate(records):
            if enough is not None and len(batch.traces) + batch.calls >= enough:
                batch.records = number
                break
            carries, decode = self._routes[record.topic]
            invalid = None
            for decoded in decode(record, self._limits, now):
                outcome = decoded if self._redaction is None else self._redaction.outcome(decoded)
                if isinstance(outcome, InvalidTrace):
                    invalid = invalid or outcome
                else:
                    self._put(batch, outcome, record)
            if invalid is not None:
                batch.rejected.append(Rejected(record, invalid, carries))
        return batch

    def _put(self, batch: RoutedBatch, outcome: Outcome, record: Record) -> None:
        if isinstance(outcome, Trace):
            batch.traces.append((count_output_tokens(outcome, self._tokenizer), record))
        elif isinstance(outcome, Preference):
            batch.preferences.append((outcome, record))
        elif isinstance(outcome, Label):
            batch.labels.append((outcome, record))
        elif isinstance(outcome, Skipped):
            batch.skipped[outcome.reason] += 1
        elif isinstance(outcome, Part):
            batch.parts.append((outcome, record))
            batch.calls += outcome.kind is PartKind.CALL


def decoder_of(route: Route) -> Decode:
    module = FORMATS.get(route.format)
    if module is None:
        raise InvalidSetting(
            f"kafka.routes: the topic {route.topic!r} names the format {route.format!r}; known are {', '.join(FORMATS)}"
        )
    found: Format = import_module(module).FORMAT
    if route.carries not in found.decoders:
        raise InvalidSetting(
            f"kafka.routes: the topic {route.topic!r} carries {route.carries}; the format {route.format!r}"
            f" knows {', '.join(found.decoders)}"
        )
    return found.decoders[route.carries]


def routes_of(settings: KafkaSettings) -> tuple[Route, ...]:
    """Return the routes of `kafka.routes`, and of the topics that a setting of their own names."""
    named = [Route(route.topic, Carries(route.carries), route.format) for route in settings.routes]
    traces = [Route(topic, Carries.TRACES, settings.trace_format) for topic in settings.trace_topics]
    labels = [Route(settings.label_topic, Carries.LABELS)] if settings.label_topic is not None else []
    return (*traces, Route(settings.preference_topic, Carries.PREFERENCES), *labels, *named)
