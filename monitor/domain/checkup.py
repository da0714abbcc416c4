"""What a check of an installation found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, and may not for long, or not as well as it could
    FAIL = "fail"  # the daemon does not work so


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`; it never holds a secret."""

    about: str  # settings, database, kafka, topic NAME, ...
    outcome: Outcome
    found: str
    advice: str = ""  # what to do; empty where all is well


def ok(about: str, found: str) -> Finding:
    return Finding(about, Outcome.OK, found)


def warn(about: str, found: str, advice: str) -> Finding:
    return Finding(about, Outcome.WARN, found, advice)


def fail(about: str, found: str, advice: str) -> Finding:
    return Finding(about, Outcome.FAIL, found, advice)
