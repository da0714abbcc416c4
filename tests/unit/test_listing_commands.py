"""Every command that lists or tells something tells it to programs too."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup

from monitor.cli.root import app

# What makes, changes or writes something, and has no more to say than what became of that.
ORDERS = frozenset(
    {
        "run",
        "serve-rewards",
        "demo",
        "decode",
        "score",
        "db upgrade",
        "db check",
        "drift report",
        "alarms ack",
        "alarms snooze",
        "alarms reopen",
        "alarms reask",
        "incidents ack",
        "incidents snooze",
        "incidents reopen",
        "notify test",
        "jobs start",
        "jobs approve",
        "jobs reject",
        "jobs cancel",
        "jobs rollback",
        "jobs keep",
        "jobs report",
        "gate override",
        "review gold",
        "review refusals",
        "review export",
        "review import",
        "review criteria add",
        "review criteria activate",
        "preferences export",
        "dead-letters replay",
        "tokens create",
        "tokens revoke",
    }
)
JSON_ANYWAY = frozenset({"jobs show", "models show"})
TEXT_ALONE = frozenset({"review criteria show"})  # what annotators read


def commands(group: TyperGroup, name: str = "") -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """Yield the parser's commands that do something, by their full name."""
    if name and group.invoke_without_command:
        yield name, group
    for word, inner in group.commands.items():
        full = f"{name} {word}".strip()
        if isinstance(inner, TyperGroup):
            yield from commands(inner, full)
        else:
            assert isinstance(inner, TyperCommand)
            yield full, inner


def test_every_command_that_lists_or_shows_something_takes_json() -> None:
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)
    found = dict(commands(program))
    assert len(found) > 60
    silent = {
        name
        for name, command in found.items()
        if not any("--json" in parameter.opts for parameter in command.params) and name not in ORDERS
    }
    assert silent == JSON_ANYWAY | TEXT_ALONE
    assert found.keys() >= ORDERS, "an order is gone: take it out of the list"
