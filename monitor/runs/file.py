"""How a run's files are read and written.

Reading is strict: an unknown, missing or wrong-typed field is an `InvalidInput`
that names the file, the field, the value and what was expected. Writing is
whole or not at all: a reader never sees half a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from monitor.errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Value = TypeVar("_Value", bound="DataclassInstance")
_PLACE = re.compile(r"^(?P<expected>.*?)(?: - at `\$\.?(?P<place>.*)`)?$", re.DOTALL)  # how msgspec names a field


def write_file(path: Path, value: DataclassInstance) -> None:
    """Write *value* as JSON; a number that is not finite becomes null."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    os.replace(part, path)


def read_file(path: Path, kind: type[_Value]) -> _Value:
    return parse(read_object(path), kind, path=path)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in *path*, undecoded."""
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput(f"{path}: {error}; expected a JSON file") from None
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path}: holds {raw!r}; expected a JSON object")
    return raw


def parse(raw: dict[str, Any], kind: type[_Value], *, path: Path, ignored: Collection[str] = ()) -> _Value:
    """Return *raw*, which was read from *path*, as a *kind*; fields named in *ignored* may stand beside its own."""
    try:
        value = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}: {_explain(str(error), raw)}") from None
    told = msgspec.to_builtins(value)
    unknown = _unknown({name: item for name, item in raw.items() if name not in ignored}, told, "")
    if unknown is not None:
        names = ", ".join(item.name for item in fields(kind))
        raise InvalidInput(f"{path}: {unknown}: unknown field; expected {kind.__name__}'s: {names}")
    return value


def _explain(message: str, raw: Any) -> str:
    """Put the value beside the field that msgspec names: "job_id = '7': Expected `int`, got `str`"."""
    found = _PLACE.match(message)
    assert found is not None
    place = found["place"] or ""
    for name in filter(None, re.split(r"\.|\[(\d+|\.\.\.)\]", place)):
        if isinstance(raw, dict) and name in raw:
            raw = raw[name]
        elif isinstance(raw, list) and name.isdecimal():
            raw = raw[int(name)]
    return f"{place} = {raw!r}: {found['expected']}" if place else found["expected"]


def _unknown(raw: Any, told: Any, place: str) -> str | None:
    """Return the first field of *raw* that its decoded form does not have, with its value."""
    if not isinstance(raw, dict) or not isinstance(told, dict):
        return None
    for name, item in raw.items():
        here = f"{place}.{name}" if place else name
        if name not in told:
            return f"{here} = {item!r}"
        deeper = _unknown(item, told[name], here)
        if deeper is not None:
            return deeper
    return None
