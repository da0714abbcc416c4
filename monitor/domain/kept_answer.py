"""What is kept of a change that its sender named by a key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from monitor.domain.order import Actor


@dataclass(frozen=True, slots=True)
class Sent:
    """A request for a change, as its key and its content tell it from others."""

    key: str
    digest: bytes  # of path, query and body


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make a change under its key."""

    actor: Actor
    sent: Sent
    number: int  # a request that took the key over from one that seems to have ended has the next one


class KeyUse(Enum):
    """Why a request does not get the key."""

    OTHER = auto()  # another request has it
    UNANSWERED = auto()  # the same request has it, and has made nothing so far
    MADE = auto()  # the same request has it: it made its change, and did not tell its answer
