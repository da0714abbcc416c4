"""What is kept of a change that its sender named by a key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


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


class KeyUse(Enum):
    FIRST = auto()  # nobody used the key before: it is taken now
    OTHER = auto()  # another request has it
    UNANSWERED = auto()  # the same request has it, and no answer of its own
