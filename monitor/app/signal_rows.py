"""The signals as operators see them: what each means, where it comes from, and how often it failed here."""

from __future__ import annotations

from monitor.app.signals import signals_of
from monitor.domain.signal import Signal
from monitor.domain.view import SignalRow
from monitor.own.failures import Failures, Trouble
from monitor.settings.root import Settings
from monitor.signals.table import OPTIONAL_SIGNALS, TRACE_SIGNALS


def own_names(settings: Settings) -> list[str]:
    return [own.name for own in settings.signals.own]


class SignalRows:
    """Every signal that there is; what failed is told of this process alone."""

    def __init__(self, settings: Settings, failures: Failures) -> None:
        self._signals, self._failures = signals_of(settings), failures
        self._own = {own.name: own.source for own in settings.signals.own}

    def signals(self) -> tuple[SignalRow, ...]:
        troubles = self._failures.troubles()
        every = {signal.name: signal for signal in (*TRACE_SIGNALS, *OPTIONAL_SIGNALS, *self._signals.known.values())}
        return tuple(self._row(signal, troubles.get(signal.name, Trouble(0, ""))) for signal in every.values())

    def _row(self, signal: Signal, trouble: Trouble) -> SignalRow:
        return SignalRow(
            name=signal.name,
            kind=signal.kind,
            unit=signal.unit,
            meaning=signal.meaning,
            origin=self._origin(signal),
            is_on=signal.name in self._signals.known,
            version=self._signals.versions.get(signal.name),
            failures=trouble.failures,
            last_failure=trouble.last or None,
        )

    def _origin(self, signal: Signal) -> str:
        if signal.name in self._own:
            return f"own: {self._own[signal.name]}"
        if signal in OPTIONAL_SIGNALS:
            return "optional"
        return "default" if signal in TRACE_SIGNALS else "another source"
