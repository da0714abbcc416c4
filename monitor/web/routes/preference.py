"""The sets of preference pairs that runs have learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Query
from pydantic.config import JsonDict

from monitor.domain.order import Actor
from monitor.labels.card import SetContent, SetPlace, StoredSet
from monitor.web.auth import Operator, Viewer
from monitor.web.paging import LINK, Page, paged
from monitor.web.problem import describe
from monitor.web.state import kept

MAX_CHARACTERS = 64  # of a SHA-256
HASH = r"^[0-9a-fA-F]*$"
_BEGINNING: JsonDict = {"minLength": 6, "examples": ["9f86d081"]}
router = APIRouter(tags=["preferences"])


class Preferences(Protocol):
    def sets(self, *, limit: int, before: SetPlace | None = None) -> Sequence[StoredSet]:
        """Return the newest first, those that stand before *before* where it is given."""
        ...

    def find(self, sha256_start: str) -> StoredSet:
        """Return the set whose hash begins so; raise `NotFound` or `InvalidInput` where that is not one set."""
        ...

    def content(self, sha256_start: str | None, *, actor: Actor) -> SetContent:
        """Return a set's pairs, or those that a run would be given now; the audit keeps who read them.

        Raises as `find` does, and `NotFound` where not all of its text is kept.
        """
        ...


PreferencesPort = Annotated[Preferences, kept("preferences")]


@router.get("/preferences", responses={200: {"headers": LINK}})
def list_sets(
    _: Viewer, preferences: PreferencesPort, page: Annotated[Page[SetPlace], paged(SetPlace, 20)]
) -> Sequence[StoredSet]:
    """List the sets of pairs that runs were given, by their data cards, the newest first; no text is in it."""
    return page.give(preferences.sets(limit=page.wanted, before=page.after), SetPlace.of)


@router.get("/preferences/content", responses=describe(404))
def get_content(
    actor: Operator,
    preferences: PreferencesPort,
    sha256: Annotated[
        str | None,
        Query(
            max_length=MAX_CHARACTERS,
            pattern=HASH,
            json_schema_extra=_BEGINNING,
            description="of a set, or how it begins; the next run's without",
        ),
    ] = None,
) -> SetContent:
    """Return a set's pairs with their texts, or those that a run would be given now.

    For operators alone; the audit keeps who read them.
    """
    return preferences.content(sha256, actor=actor)


@router.get("/preferences/{sha256}", responses=describe(404))
def get_set(
    _: Viewer,
    preferences: PreferencesPort,
    sha256: Annotated[
        str,
        Path(
            max_length=MAX_CHARACTERS,
            pattern=HASH,
            json_schema_extra=_BEGINNING,
            description="of the set, or how it begins",
        ),
    ],
) -> StoredSet:
    """Return a set's data card: what it holds, where that comes from, and what was left out."""
    return preferences.find(sha256)
