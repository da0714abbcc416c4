"""A regular expression as a signal: RE2 takes time in proportion to the text, whatever the expression."""

from __future__ import annotations

from collections.abc import Callable

import re2

from monitor.domain.signal import SignalKind
from monitor.domain.trace import Trace
from monitor.errors import InvalidSetting
from monitor.own.answer import BatchRead, each
from monitor.own.texts import text_reader
from monitor.settings.own import OwnSignal

MAX_CHARACTERS = 100_000  # of a text that is read; what is after is left out


def read_pattern(own: OwnSignal, kind: SignalKind) -> BatchRead:
    """Return the reader of *own*; raises `InvalidSetting` for an expression that RE2 does not take."""
    assert own.pattern is not None
    options = re2.Options()
    options.log_errors = False  # it writes them to stderr by itself
    try:
        expression = re2.compile(own.pattern, options)
    except re2.error as error:
        said = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        raise InvalidSetting(
            f"signals.own.{own.name}.pattern = {own.pattern!r}: {said}; RE2 has no lookaround and no back-references"
        ) from None
    text_of = text_reader(own.field)
    counted = kind is SignalKind.LENGTH

    def read(trace: Trace) -> float | None:
        text = text_of(trace)
        if text is None:
            return None
        text = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()  # half a surrogate pair is no text
        if counted:
            return float(sum(1 for _ in expression.finditer(text)))
        return float(expression.search(text) is not None)

    function: Callable[[Trace], float | None] = read
    return each(function, kind)
