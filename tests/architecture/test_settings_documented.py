"""Every setting says what it means, and the documentation is made from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from pydantic import BaseModel

from monitor.settings.root import Settings
from tests.real_kafka import ROOT

PAGE = ROOT / "docs" / "settings.md"
BUILD = ROOT / "docs" / "build_settings.py"


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description


def test_every_setting_has_a_description() -> None:
    assert [key for key, description in leaves(Settings) if not description] == []


def test_every_setting_stands_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [key for key, _ in leaves(Settings) if f"`{key}`" not in page] == []


def test_the_page_is_the_one_the_types_make() -> None:
    done = subprocess.run([sys.executable, str(BUILD), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
