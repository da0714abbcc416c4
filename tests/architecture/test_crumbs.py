"""A reader meets a step in one place: few functions are private and have one caller."""

from __future__ import annotations

from tests.architecture.crumbs import program, take_census

CEILING = 0.18  # of all functions; `python -m tests.architecture.crumbs` lists those to look at first

SOURCE = """
def front():
    return _once() + _twice() + _deep(3)

def back():
    return _twice()

def _once():
    return 1

def _twice():
    return 2

def _deep(n):
    return _deep(n - 1) if n else 0

def _unused(): ...

class Box:
    def open(self):
        return self._lid()

    def _lid(self):
        return 1
"""


def test_a_function_is_single_where_one_other_function_names_it() -> None:
    census = take_census([("box.py", SOURCE)])
    assert census.functions == 8
    assert [found.name for found in census.single] == ["_once", "_deep", "Box._lid"]


def test_few_functions_are_private_with_one_caller() -> None:
    census = take_census(program())
    assert census.share <= CEILING, f"{len(census.single)} of {census.functions}: inline what is named no better"
