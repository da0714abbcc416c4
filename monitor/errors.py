"""The states of affairs a part of the daemon can report to the part that owns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InvalidTrace:
    """A record that cannot become a trace or a preference; a value, never raised.

    `reason` is one of a bounded set of words (it becomes a metric label and a
    header of the dead letter); `detail` names the field, the value and what was wanted.
    """

    reason: str
    detail: str


class Backpressure(Exception):
    """The next stage is full: hold this one batch, pause, keep polling."""


class Unavailable(Exception):
    """A service the daemon needs is away: keep the offsets, back off, try again.

    The message quotes the service, for the log and the operator; `plain` says the
    same in words of our own, since `/readyz` and the API tell it.
    """

    def __init__(self, message: str, *, plain: str = "a service it needs is away; the log says which") -> None:
        super().__init__(message)
        self.plain = plain


class Fenced(Exception):
    """Somebody else advanced this partition: drop the work in flight and rejoin."""


class TooManyBadRecords(Exception):
    """The run or the share of invalid records passed its limit: stop and say so."""


class MissingCodec(Exception):
    """Records are compressed with a codec that is not installed: stop and say what to install."""


class ReplacedLog(Exception):
    """A topic's log is not the one its stored offsets belong to: stop and say how to go on."""


class InvalidSetting(Exception):
    """A setting is wrong; the message names the key, the value and what was wanted."""


class InvalidInput(Exception):
    """A user's file or argument is wrong; the message names it, the value and what was wanted."""


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """One row of many; the words are `InvalidTrace`'s."""

    index: int  # from 0
    reason: str
    detail: str


class InvalidRows(Exception):
    """Some of the rows that a client sent are wrong, so nothing of them was kept."""

    def __init__(self, message: str, rows: Sequence[InvalidRow]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class Conflict(Exception):
    """What was asked does not fit the state of things; the message names the thing, its state and what was wanted."""


class NotFound(Exception):
    """No thing has that name or number; the message says which was asked for."""
