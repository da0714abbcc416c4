"""Functions and files stay small enough to be read in one go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.size import Function, Limits, body_lines, measure, nesting, positional_parameters
from tests.real_kafka import ROOT

PROGRAM = Limits(body_lines=40, nesting=3, file_lines=400, positional_parameters=4)
TESTS = Limits(body_lines=60, nesting=4, file_lines=600, positional_parameters=6)  # parameters are fixtures there
FOLDERS = {"monitor": PROGRAM, "retrain": PROGRAM, "dashboards": PROGRAM, "docs": PROGRAM, "tests": TESTS}

# Alembic writes a migration as one long list of operations; cutting it up would hide the order.
MIGRATIONS = Limits(body_lines=400, nesting=3, file_lines=600, positional_parameters=4)

# (file, function, rule) -> why it may be larger.
EXCEPTIONS: dict[tuple[str, str, str], str] = {
    ("monitor/settings/root.py", "Settings.settings_customise_sources", "positional_parameters"): (
        "pydantic-settings calls it with these five"
    ),
}


def folders() -> dict[Path, Limits]:
    return {ROOT / name: limits for name, limits in (FOLDERS | {"migrations": MIGRATIONS}).items()}


def test_every_function_and_file_keeps_the_size_rule_or_has_a_reason() -> None:
    found = [
        excess
        for folder, limits in folders().items()
        for path in sorted(folder.rglob("*.py"))
        for excess in measure(path, path.relative_to(ROOT).as_posix(), limits)
    ]
    over = [
        f"{excess.path} {excess.function}: {excess.rule} {excess.found}; allowed {excess.allowed}"
        for excess in found
        if excess.key not in EXCEPTIONS
    ]
    assert not over, "\n".join(["larger than the size rule allows:", *over])
    unneeded = EXCEPTIONS.keys() - {excess.key for excess in found}
    assert not unneeded, f"exceptions that nothing needs any more: {sorted(unneeded)}"


def function(source: str) -> Function:
    parsed = ast.parse(source).body[0]
    assert isinstance(parsed, Function)
    return parsed


def test_a_body_is_counted_without_its_docstring() -> None:
    assert body_lines(function('def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n\n    return a\n')) == 3


@pytest.mark.parametrize(
    ("source", "depth"),
    [
        pytest.param("def f():\n pass", 0, id="nothing"),
        pytest.param("def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass", 1, id="elif is no deeper"),
        pytest.param("def f():\n if a:\n  pass\n elif b:\n  for c in d:\n   pass", 2, id="a loop in an elif"),
        pytest.param("def f():\n try:\n  with a:\n   for b in c:\n    pass\n finally:\n  pass", 3, id="try, with, for"),
        pytest.param("def f():\n try:\n  pass\n except E:\n  if a:\n   pass", 2, id="a handler's if"),
        pytest.param("def f():\n match a:\n  case 1:\n   if b:\n    pass", 2, id="a case's if"),
    ],
)
def test_nesting_counts_enclosing_statements(source: str, depth: int) -> None:
    assert nesting(function(source).body) == depth


def test_keyword_only_parameters_and_self_are_free() -> None:
    assert positional_parameters(function("def f(self, a, /, b, *, c, d): ...")) == 2
