"""The lock pins what the project declares, and names no place to get it from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement

from tests.real_kafka import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


def declared() -> Iterator[Requirement]:
    groups = PROJECT["optional-dependencies"]
    for text in (*PROJECT["dependencies"], *(text for group in groups.values() for text in group)):
        requirement = Requirement(text)
        if requirement.name != PROJECT["name"]:
            yield requirement


@pytest.mark.parametrize("requirement", list(declared()), ids=str)
def test_the_lock_pins_a_version_that_is_admitted(requirement: Requirement) -> None:
    pins = [pin for pin in map(Requirement, LOCK) if pin.name == requirement.name.lower()]
    assert pins, f"{requirement.name} is not in requirements.lock: make lock"
    for pin in pins:  # one for each range of Python versions, where they differ
        (version,) = pin.specifier
        assert version.operator == "=="
        assert requirement.specifier.contains(version.version), f"{pin}; wanted {requirement}: make lock"


def test_the_lock_names_packages_and_no_place_to_get_them_from() -> None:
    assert [line for line in LOCK if "://" in line or line.startswith("-") or "@" in line] == []


def test_what_the_daemon_always_needs_is_light() -> None:
    always = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert always.isdisjoint({"torch", "transformers", "trl", "peft", "accelerate", "datasets", "evidently", "pandas"})
