"""Private functions with one caller: `python -m tests.architecture.crumbs` lists the short ones.

Such a function must earn its name. One of four lines whose name says no more than its body
belongs back in its caller, so that a reader meets the whole step in one place.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.architecture.size import Function, body_lines, functions
from tests.real_kafka import ROOT

SHORT_LINES = 4
PROGRAM = ("monitor", "retrain")


@dataclass(frozen=True, slots=True)
class Single:
    """A private function that one other function of its file names, or the file itself."""

    path: str
    line: int
    name: str  # qualified within the file
    body_lines: int


@dataclass(frozen=True, slots=True)
class Census:
    functions: int
    single: tuple[Single, ...]

    @property
    def share(self) -> float:
        return len(self.single) / self.functions

    @property
    def short(self) -> tuple[Single, ...]:
        return tuple(found for found in self.single if found.body_lines <= SHORT_LINES)


def take_census(files: Iterable[tuple[str, str]]) -> Census:
    """Count over *files*, each a path and its source."""
    count = 0
    single: list[Single] = []
    for path, source in files:
        tree = ast.parse(source)
        callers: dict[str, set[str]] = defaultdict(set)
        for caller, name in mentions(tree):
            callers[name].add(caller)
        for qualified, function in functions(tree):
            count += 1
            private = function.name.startswith("_") and not function.name.startswith("__")
            if private and len(callers[function.name] - {function.name}) == 1:
                single.append(Single(path, function.lineno, qualified, body_lines(function)))
    return Census(count, tuple(single))


def mentions(node: ast.AST, caller: str = "") -> Iterator[tuple[str, str]]:
    """Yield each name used in *node*, with the innermost function that uses it; "" is the file."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name):
            yield caller, child.id
        elif isinstance(child, ast.Attribute):
            yield caller, child.attr
        yield from mentions(child, child.name if isinstance(child, Function) else caller)


def program() -> Iterator[tuple[str, str]]:
    for package in PROGRAM:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def main() -> None:
    census = take_census(program())
    for found in census.short:
        print(f"{found.path}:{found.line} {found.name} ({found.body_lines} lines)")
    print(
        f"{census.functions} functions; private with one caller: {len(census.single)} ({census.share:.1%}), "
        f"{len(census.short)} of them of {SHORT_LINES} lines or fewer"
    )


if __name__ == "__main__":
    main()
