"""From the settings of a user's own signal to its declaration and the version of its series."""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from monitor.domain.signal import Signal, SignalKind
from monitor.errors import InvalidSetting
from monitor.own.classifier import classifier_of
from monitor.settings.own import OwnSignal

# What says how values are shown, how fast they come or how many, and not what they are.
OF_TEXTS = {"pattern", "classifier"}  # they read a prompt or an answer, and nothing else
_NO_PART = {"name", "unit", "meaning", "device", "of_texts"}
_NO_PART_OF_JUDGE = {"api_key", "timeout_seconds", "concurrency", "share"}


def signal_of(own: OwnSignal) -> Signal:
    """Return the declaration of *own*."""
    kind = SignalKind(own.kind) if own.kind is not None else _usual_kind(own)
    in_share = kind in {SignalKind.BINARY, SignalKind.PROBABILITY}
    unit = own.unit or ("ratio" if in_share else "value")
    return Signal(own.name, kind, unit, own.meaning, of_texts=own.of_texts or own.source in OF_TEXTS)


def _usual_kind(own: OwnSignal) -> SignalKind:
    if own.pattern is not None:
        return SignalKind.BINARY
    if own.classifier is not None or (own.judge is not None and 0 <= own.judge.lowest < own.judge.highest <= 1):
        return SignalKind.PROBABILITY
    return SignalKind.RANKED


def version_of(own: OwnSignal) -> str:
    """Return the version of the values of *own*: another definition is another series.

    The definition is what the settings say of the values, the classifier's files, and the function's own source.
    """
    told = own.model_dump(mode="json", exclude=_NO_PART | {"judge"}, exclude_none=True)
    told["kind"] = signal_of(own).kind
    if own.judge is not None:
        told["judge"] = own.judge.model_dump(mode="json", exclude=_NO_PART_OF_JUDGE)
    if own.classifier is not None:
        told["classifier"] = classifier_of(own).version
    if own.callable is not None:
        told["source"] = _source(function_of(own))
    digest = blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=6).hexdigest()
    return f"{own.source}-{digest}"


def function_of(own: OwnSignal) -> Callable[..., Any]:
    """Return the function that *own* names; raises `InvalidSetting` where there is none."""
    assert own.callable is not None
    found = f"signals.own.{own.name}.callable = {own.callable!r}"
    if ":" not in own.callable:
        raise InvalidSetting(f"{found}: wanted `package.module:name`")
    try:
        target = pkgutil.resolve_name(own.callable)
    except Exception as error:  # noqa: BLE001 - the module is the operator's own, and may raise anything
        raise InvalidSetting(f"{found}: {type(error).__name__}: {error}") from None
    if not callable(target):
        raise InvalidSetting(f"{found}: it is a {type(target).__name__}; wanted a function of a trace")
    function: Callable[..., Any] = target
    return function


def _source(function: Callable[..., Any]) -> str:
    """Return the text of *function*, its type's for an object that is called; "" where there is none."""
    try:
        return inspect.getsource(function if inspect.isroutine(function) else type(function))
    except (OSError, TypeError):
        return ""
