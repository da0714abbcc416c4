"""What a record can hold, format or no format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.label import Label
from monitor.domain.trace import Preference, Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.part import Part
from monitor.ingest.record import Record


class Carries(StrEnum):
    """What a topic is for."""

    TRACES = "traces"
    PREFERENCES = "preferences"
    LABELS = "labels"


class SkipReason(StrEnum):
    """Why a sound piece of a record is passed over: a metric label."""

    OTHER_SPAN = "other_span"  # a span that is no call of a model
    CACHE_HIT = "cache_hit"  # an answer given before: no new observation of the model
    OTHER_SIGNAL = "other_signal"  # a record of another kind than traces: metrics, or a log line of something else
    UNJOINED = "unjoined"  # a part whose call never came
    NO_MODEL = "no_model"  # a call that failed, and whose spans name no model: nobody's error rate has it
    INVALID_CALL = "invalid_call"  # put together of parts that waited, it is no sound trace; the log says why


@dataclass(frozen=True, slots=True)
class Skipped:
    """A piece that is sound and not for us; counted, never a dead letter."""

    reason: SkipReason


Outcome = Trace | Preference | Label | Part | Skipped | InvalidTrace
Decode = Callable[[Record, DecodeLimits, datetime], Iterable[Outcome]]


@dataclass(frozen=True, slots=True)
class Format:
    """A wire format: how it is read, by what its topic carries.

    A decode function never raises for what a record holds. It yields any number of
    outcomes, none included; *now* is aware and bounds timestamps from above.
    """

    decoders: Mapping[Carries, Decode]
