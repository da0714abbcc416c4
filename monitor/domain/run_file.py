"""The files of a training run: `spec.json` in, `progress.json` and `result.json` out.

All three lie in the same folder. Reading is strict: an unknown, missing or
wrong-typed field is an `InvalidInput` that names the file, the field, the value
and what was wanted.
"""

from __future__ import annotations

import json
import os
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from monitor.domain.run import RunResult, RunSpec
from monitor.errors import InvalidInput

SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run has come; `line` is the whole of it in words."""

    line: str
    done: int
    total: int


_Value = TypeVar("_Value", RunSpec, RunResult, RunProgress)


def write_spec(path: Path, spec: RunSpec) -> None:
    _write(path, spec)


def read_spec(path: Path) -> RunSpec:
    return _read(path, RunSpec)


def write_result(path: Path, result: RunResult) -> None:
    _write(path, result)


def read_result(path: Path) -> RunResult:
    result = _read(path, RunResult)
    if result.status not in {"succeeded", "failed"}:
        raise InvalidInput(f"{path}: status = {result.status!r}; wanted 'succeeded' or 'failed'")
    return result


def write_progress(path: Path, progress: RunProgress) -> None:
    _write(path, progress)


def read_progress(path: Path) -> RunProgress | None:
    """Return the last progress a run wrote, None before the first."""
    return _read(path, RunProgress) if path.exists() else None


def _write(path: Path, value: RunSpec | RunResult | RunProgress) -> None:
    """Write whole or not at all: a reader never sees half a file."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(asdict(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def _read(path: Path, kind: type[_Value]) -> _Value:
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: {error}; wanted a JSON file with a {kind.__name__}") from None
    try:
        value: _Value = _decode(raw, kind, where="")
    except _Mismatch as mismatch:
        raise InvalidInput(f"{path}: {mismatch}") from None
    return value


class _Mismatch(Exception):
    """A JSON value is not of the declared type."""

    def __init__(self, where: str, value: object, wanted: str) -> None:
        super().__init__(f"{where or 'the file'} = {value!r}; wanted {wanted}")


def _decode(value: Any, kind: Any, *, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return _decode_fields(value, kind, where=where)
    if get_origin(kind) in {Union, types.UnionType}:
        return _decode_union(value, kind, where=where)
    if get_origin(kind) is Mapping:
        return _decode_mapping(value, kind, where=where)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise _Mismatch(where, value, " or ".join(repr(str(item)) for item in kind))
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    # `type`, not `isinstance`: to Python, true is an int
    if type(value) is not kind:
        raise _Mismatch(where, value, kind.__name__)
    return value


def _decode_union(value: Any, kind: Any, *, where: str) -> Any:
    options = get_args(kind)
    if value is None and type(None) in options:
        return None
    wanted = [option for option in options if option is not type(None)]
    if len(wanted) == 1:
        return _decode(value, wanted[0], where=where)
    if type(value) not in wanted:
        raise _Mismatch(where, value, " or ".join(option.__name__ for option in wanted))
    return value


def _decode_mapping(value: Any, kind: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Mismatch(where, value, "an object")
    item_kind = get_args(kind)[1]
    return {key: _decode(item, item_kind, where=f"{where}.{key}") for key, item in value.items()}


def _decode_fields(value: Any, kind: Any, *, where: str) -> Any:
    if not isinstance(value, dict):
        raise _Mismatch(where, value, f"an object with a {kind.__name__}")
    prefix = f"{where}." if where else ""
    hints = get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise _Mismatch(prefix + name, value[name], f"only {', '.join(hints)}")
    arguments = {}
    for item in fields(kind):
        if item.name in value:
            arguments[item.name] = _decode(value[item.name], hints[item.name], where=prefix + item.name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise _Mismatch(prefix + item.name, None, "a value; the field is missing")
    return kind(**arguments)
