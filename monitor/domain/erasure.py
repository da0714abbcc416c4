"""The deletion of somebody's texts, on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class SubjectKind(StrEnum):
    CONVERSATION = "conversation"
    USER = "user"


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    """Whose texts are to go."""

    kind: SubjectKind
    name: str  # as traces have it

    @property
    def sha256(self) -> str:
        """What is kept of the name: whoever knows the name can show that it was erased."""
        return sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class SubjectTexts:
    """What the subject's texts are found by, wherever they were copied to."""

    trace_ids: frozenset[str] = frozenset()
    conversations: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()  # messages that are no system's: those are everybody's

    @property
    def all(self) -> frozenset[str]:
        return self.trace_ids | self.conversations | self.answers | self.prompts


@dataclass(frozen=True, slots=True)
class Erasure:
    """That it was done; the name itself is kept nowhere."""

    kind: SubjectKind
    sha256: str  # of the name
    actor: str
    deleted: Mapping[str, int] = field(default_factory=dict)  # {what: how many}
    erasure_id: int | None = None  # None: nothing was deleted, it was only counted
    at: datetime | None = None
