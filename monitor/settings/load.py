"""Reading the settings, and saying what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches

import yaml
from pydantic import ValidationError
from pydantic_settings import SettingsError

from monitor.errors import InvalidSetting
from monitor.settings.root import CONFIG_VARIABLE, Settings, config_file

# What the commands read when they ask a server; no settings.
SERVER_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, CA_VARIABLE = (
    "MONITOR_SERVER",
    "MONITOR_TOKEN",
    "MONITOR_TOKEN_FILE",
    "MONITOR_CA",
)
_NO_SETTINGS = {CONFIG_VARIABLE, SERVER_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, CA_VARIABLE}
SECRETS = ("url", "secret", ".token", "routing_key")  # ends of settings whose value is not shown


def load_settings() -> Settings:
    """Read the settings; raise `InvalidSetting` naming each key, its value and what was wanted."""
    _refuse_unknown_variables()
    _refuse_unreadable_file()
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSetting("\n".join(_explain(item) for item in error.errors())) from None
    except SettingsError as error:
        raise InvalidSetting(_explain_unparsed(error)) from None


def _explain(item: object) -> str:
    assert isinstance(item, dict)
    loc = item["loc"][:2] if item["loc"][:2] == ("web", "tokens") else item["loc"]  # what follows is a token
    key = ".".join(str(part) for part in loc) or "settings"
    if item["type"] == "extra_forbidden":
        return f"{key}: no such setting; {_meant(str(loc[-1]), _fields_beside(loc))}"
    secret = "password" in key or key.endswith(SECRETS) or "@" in str(item["input"])  # whom a server is told
    given = "" if isinstance(item["input"], dict) or secret else f" = {item['input']!r}"
    return f"{key}{given}: {item['msg'].removeprefix('Value error, ')}"


def _fields_beside(loc: tuple[str | int, ...]) -> Iterable[str]:
    """Return the names of the settings where one named *loc* would stand."""
    model: object = Settings
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else None
    return getattr(model, "model_fields", {})


def _meant(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(names)}" if names else "docs/settings.md lists them all"


def _explain_unparsed(error: SettingsError) -> str:
    """Name the variable that should have held JSON; its value may be a secret."""
    text = getattr(error.__cause__, "doc", None)
    variables = [name for name, value in os.environ.items() if name.startswith("MONITOR_") and value == text]
    advice = 'write it as JSON, such as ["a", "b"] for a list'
    return f"{variables[0]}: {advice}" if variables else f"settings cannot be read: {error}; {advice}"


def _refuse_unreadable_file() -> None:
    """Name a file that holds no settings at all, and the parts in it that there are not."""
    file = config_file()
    if file is None:
        return
    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:  # its text may quote the file, and so a password
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = str(file) if line is None else f"{file}:{line + 1}"
        raise InvalidSetting(f"{place}: {getattr(error, 'problem', None) or error}; this is not YAML") from None
    parts = ", ".join(Settings.model_fields)
    if not isinstance(content, dict | None):
        raise InvalidSetting(f"{file}: holds a {type(content).__name__}; it must name the parts {parts}")
    for part in content or {}:
        if part not in Settings.model_fields:
            raise InvalidSetting(f"{file}: {part!r}: no such setting; {_meant(part, Settings.model_fields)}")


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored in silence; name it instead."""
    parts = list(Settings.model_fields)
    for variable in os.environ:
        if not variable.startswith("MONITOR_") or variable in _NO_SETTINGS:
            continue
        part = variable.removeprefix("MONITOR_").split("__")[0].lower()
        if part not in parts:
            raise InvalidSetting(f"{variable}: no such setting; {_meant(part, parts)} (MONITOR_<PART>__<FIELD>)")
