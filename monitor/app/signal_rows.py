"""The signals as operators see them: what each means, where it comes from, and in which worker it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from monitor.app.signals import signals_of
from monitor.domain.signal import Signal
from monitor.domain.view import SignalRow, WorkerTrouble
from monitor.settings.root import Settings
from monitor.signals.table import OPTIONAL_SIGNALS, TRACE_SIGNALS


def own_names(settings: Settings) -> list[str]:
    return [own.name for own in settings.signals.own]


Troubles = Callable[[], Mapping[str, Sequence[WorkerTrouble]]]


class SignalRows:
    """Every signal that there is, and what *troubles* says of the own ones."""

    def __init__(self, settings: Settings, troubles: Troubles = dict) -> None:
        self._signals, self._troubles = signals_of(settings), troubles
        self._own = {own.name: own.source for own in settings.signals.own}

    def signals(self) -> tuple[SignalRow, ...]:
        troubles = self._troubles() if self._own else {}
        every = {signal.name: signal for signal in (*TRACE_SIGNALS, *OPTIONAL_SIGNALS, *self._signals.known.values())}
        return tuple(self._row(signal, tuple(troubles.get(signal.name, ()))) for signal in every.values())

    def _row(self, signal: Signal, troubles: tuple[WorkerTrouble, ...]) -> SignalRow:
        return SignalRow(
            name=signal.name,
            kind=signal.kind,
            unit=signal.unit,
            meaning=signal.meaning,
            origin=self._origin(signal),
            is_on=signal.name in self._signals.known,
            version=self._signals.versions.get(signal.name),
            failures=sum(trouble.failures for trouble in troubles),
            troubles=troubles,
        )

    def _origin(self, signal: Signal) -> str:
        if signal.name in self._own:
            return f"own: {self._own[signal.name]}"
        if signal in OPTIONAL_SIGNALS:
            return "optional"
        return "default" if signal in TRACE_SIGNALS else "another source"
