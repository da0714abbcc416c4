"""A JSONPath on the trace in its native JSON form as a signal."""

from __future__ import annotations

from typing import Any

from jsonpath import JSONPathEnvironment, JSONPathError

from monitor.domain.signal import SignalKind
from monitor.domain.trace import Trace
from monitor.errors import InvalidSetting
from monitor.ingest.formats.native import native_form
from monitor.own.answer import BatchRead, each
from monitor.settings.own import OwnSignal

# Their expressions are matched by backtracking, on texts of strangers.
_UNBOUNDED = ("match", "search")


def read_json_path(own: OwnSignal, kind: SignalKind) -> BatchRead:
    """Return the reader of *own*; raises `InvalidSetting` for a query that cannot be read."""
    assert own.jsonpath is not None
    environment = JSONPathEnvironment()
    for name in _UNBOUNDED:
        del environment.function_extensions[name]
    try:
        query = environment.compile(own.jsonpath)
    except JSONPathError as error:
        said = str(error).partition("\n")[0]
        raise InvalidSetting(f"signals.own.{own.name}.jsonpath = {own.jsonpath!r}: {said}") from None

    def read(trace: Trace) -> Any:
        found = query.match(native_form(trace))
        return None if found is None else plain(found.obj)

    return each(read, kind)


def plain(value: Any) -> Any:
    """Return a label's text as the number or truth that it says, since labels are kept as text."""
    if not isinstance(value, str):
        return value
    if value in {"true", "false"}:
        return value == "true"
    try:
        return float(value)
    except ValueError:
        return value
