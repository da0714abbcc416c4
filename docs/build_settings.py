"""Write docs/settings.md from the settings' types; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from monitor.settings.root import Settings

PAGE = Path(__file__).with_name("settings.md")
HEAD = """\
# Settings

Made from `monitor/settings/` by `python docs/build_settings.py`; do not edit.

A setting is read from the environment as `MONITOR_<PART>__<FIELD>`, else from the YAML file that `MONITOR_CONFIG`
names (`monitor.yaml` in the working folder where it is not set), else it has its default. Lists and mappings are JSON
in the environment. A wrong value or a misspelt name stops the start with the key, the value and what was wanted.
"""
WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path",
         "SecretStr": "secret text"}  # fmt: skip
BOUNDS = {annotated_types.Ge: ">= {0.ge:g}", annotated_types.Gt: "> {0.gt:g}",
          annotated_types.Le: "<= {0.le:g}", annotated_types.Lt: "< {0.lt:g}"}  # fmt: skip


def render() -> str:
    sections = [HEAD]
    single = []
    for name, field in Settings.model_fields.items():
        if _is_model(field.annotation):
            sections.append(f"\n## {name}\n\n{_table(field.annotation, name)}")
        else:
            single.append(_row(name, field))
    sections.append(f"\n## The whole program\n\n{_header()}" + "".join(single))
    return "".join(sections)


def _table(model: typing.Any, prefix: str) -> str:
    return _header() + "".join(_rows(model, prefix))


def _header() -> str:
    return "| key | value | default | meaning |\n|---|---|---|---|\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}.{name}"
        element = _element(field.annotation)
        if _is_model(field.annotation):
            yield from _rows(typing.cast("type[BaseModel]", field.annotation), key)
            continue
        yield _row(key, field)
        if _is_model(element):
            yield from _rows(typing.cast("type[BaseModel]", element), f"{key}[]")
        if typing.get_origin(field.annotation) is dict and _is_model(typing.get_args(field.annotation)[1]):
            yield from _rows(typing.get_args(field.annotation)[1], f"{key}.NAME")


def _row(key: str, field: FieldInfo) -> str:
    bounds = [text.format(item) for item in field.metadata for kind, text in BOUNDS.items() if isinstance(item, kind)]
    value = ", ".join([_kind(field.annotation), *bounds])
    return f"| `{key}` | {_cell(value)} | {_cell(_default(field))} | {_cell(field.description or '')} |\n"


def _kind(annotation: typing.Any) -> str:
    """Say in words what a value of *annotation* looks like in YAML."""
    if typing.get_origin(annotation) is not None:
        return _composite(typing.get_origin(annotation), typing.get_args(annotation))
    if annotation is types.NoneType:
        return "null"
    if _is_model(annotation):
        return "settings below"
    if issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    return WORDS[annotation.__name__]


def _composite(origin: typing.Any, arguments: tuple[typing.Any, ...]) -> str:
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return f"mapping of {_kind(arguments[0])} to {_kind(arguments[1])}"
    if origin is tuple and Ellipsis in arguments:
        return f"list of {_kind(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)}, each {_kind(arguments[0])}"
    return " or ".join(_kind(part) for part in arguments)  # a union


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value}`"


def _element(annotation: typing.Any) -> typing.Any:
    return next(iter(typing.get_args(annotation)), None)


def _is_model(annotation: typing.Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    page = render()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        sys.stderr.write(f"{PAGE.name} is not what the settings' types make: run python docs/build_settings.py\n")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
