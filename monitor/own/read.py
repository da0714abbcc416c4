"""From the settings of a user's own signals to their observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monitor.domain.signal import Signal, SignalKind
from monitor.errors import InvalidSetting
from monitor.own.answer import BatchRead, OwnObserver
from monitor.own.classifier import read_classifier
from monitor.own.definition import signal_of, version_of
from monitor.own.failures import Failures
from monitor.own.function import read_function
from monitor.own.json_path import read_json_path
from monitor.own.judge import read_judge
from monitor.own.pattern import read_pattern
from monitor.settings.own import OwnSignal
from monitor.signals.set import BatchObserver

READERS = {
    "pattern": read_pattern,
    "jsonpath": read_json_path,
    "callable": read_function,
    "classifier": read_classifier,
}


@dataclass(frozen=True, slots=True)
class OwnSignals:
    """What a user's own definitions come to."""

    observers: Mapping[Signal, BatchObserver]
    versions: Mapping[str, str]
    closers: tuple[Callable[[], None], ...]  # of what is opened to observe


def own_signals(definitions: Sequence[OwnSignal], failures: Failures, *, key: bytes) -> OwnSignals:
    """Return the observers of *definitions*; raises `InvalidSetting` for one that cannot be read.

    *key* is that of the hash by which traces are drawn for judges.
    """
    observers: dict[Signal, BatchObserver] = {}
    versions: dict[str, str] = {}
    closers: list[Callable[[], None]] = []
    for own in definitions:
        signal, version = signal_of(own), version_of(own)
        _require_range(own, signal.kind)
        read: BatchRead
        if own.judge is not None:
            judge = read_judge(own, signal.kind, version=version, key=key, failures=failures)
            read = judge.read
            closers.append(judge.close)
        else:
            read = READERS[own.source](own, signal.kind)
        observers[signal] = OwnObserver(signal, version, read, failures)
        versions[signal.name] = version
    return OwnSignals(observers, versions, tuple(closers))


def _require_range(own: OwnSignal, kind: SignalKind) -> None:
    """Raise `InvalidSetting` where a judge may answer what no value of *kind* is."""
    judge = own.judge
    if judge is None or kind not in {SignalKind.BINARY, SignalKind.PROBABILITY}:
        return
    if judge.lowest < 0.0 or judge.highest > 1.0:
        found = f"signals.own.{own.name}.judge answers from {judge.lowest:g} to {judge.highest:g}"
        raise InvalidSetting(f"{found}, and a {kind} is from 0 to 1: take kind: ranked")
