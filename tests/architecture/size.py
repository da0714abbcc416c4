"""What the size rule measures in one Python file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
_NESTS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


@dataclass(frozen=True, slots=True)
class Limits:
    body_lines: int
    nesting: int
    file_lines: int
    positional_parameters: int  # without self and cls


@dataclass(frozen=True, slots=True)
class Excess:
    """One place that is larger than its limit; `key` is how an exception names it."""

    path: str
    function: str  # qualified within the file; empty for the file itself
    rule: str
    found: int
    allowed: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.path, self.function, self.rule


def measure(path: Path, name: str, limits: Limits) -> Iterator[Excess]:
    """Yield every excess of the file at *path*, which is called *name* in the findings."""
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    if lines > limits.file_lines:
        yield Excess(name, "", "file_lines", lines, limits.file_lines)
    for qualified, function in functions(ast.parse(source)):
        found = {
            "body_lines": body_lines(function),
            "nesting": nesting(function.body),
            "positional_parameters": positional_parameters(function),
        }
        for rule, value in found.items():
            if value > getattr(limits, rule):
                yield Excess(name, qualified, rule, value, getattr(limits, rule))


def body_lines(function: Function) -> int:
    """Count the lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (function.end_lineno or 0) - body[0].lineno + 1


def nesting(statements: list[ast.stmt]) -> int:
    """Return how many compound statements enclose the innermost one; `elif` is no deeper than its `if`."""
    deepest = 0
    for statement in statements:
        if not isinstance(statement, _NESTS):
            continue
        inner = max((nesting(block) for block in _blocks(statement)), default=0)
        deepest = max(deepest, 1 + inner)
    return max([deepest, *_elif_chains(statements)])


def positional_parameters(function: Function) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (1 if names and names[0] in {"self", "cls"} else 0)


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    yield from _inner(statement, "body")
    if not _is_elif_chain(statement):
        yield from _inner(statement, "orelse")
    yield from _inner(statement, "finalbody")
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _inner(statement: ast.stmt, field: str) -> Iterator[list[ast.stmt]]:
    block = getattr(statement, field, None)
    if block:
        yield block


def _is_elif_chain(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and len(statement.orelse) == 1
        and isinstance(statement.orelse[0], ast.If)
        and statement.orelse[0].col_offset == statement.col_offset
    )


def _elif_chains(statements: list[ast.stmt]) -> Iterator[int]:
    for statement in statements:
        if isinstance(statement, ast.If) and _is_elif_chain(statement):
            yield nesting(statement.orelse)


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function in *node* by its qualified name."""
    for child in ast.iter_child_nodes(node):
        name = f"{prefix}{child.name}" if isinstance(child, Function | ast.ClassDef) else prefix
        if isinstance(child, Function):
            yield name, child
        inner = f"{name}." if isinstance(child, Function | ast.ClassDef) else prefix
        yield from functions(child, inner)
