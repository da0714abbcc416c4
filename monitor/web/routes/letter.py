"""Dead letters: records that could not be read, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter, Query

from monitor.ingest.letter import LetterFilter, LetterKey, LetterRow
from monitor.web.auth import Operator
from monitor.web.paging import LINK, Page, paged
from monitor.web.problem import describe
from monitor.web.state import Instant, kept

router = APIRouter(tags=["dead letters"])


class Letters(Protocol):
    def letters(self, wanted: LetterFilter) -> Sequence[tuple[LetterKey, LetterRow]]:
        """Return those of the newest letters that fit, in any order; raises `Unavailable` where no broker answers."""
        ...


@router.get("/dead-letters", responses={**describe(404), 200: {"headers": LINK}})
def list_letters(
    _: Operator,
    letters: Annotated[Letters, kept("letters")],
    page: Annotated[Page[LetterKey], paged(LetterKey, 100)],
    *,
    reason: Annotated[str | None, Query(max_length=1000, description="one of docs/ingest.md, not_json say")] = None,
    topic: Annotated[str | None, Query(max_length=1000, description="that the record came from")] = None,
    since: Annotated[Instant | None, Query(description="of the letter: when its record was rejected")] = None,
    until: Annotated[Instant | None, Query(description="exclusive")] = None,
) -> Sequence[LetterRow]:
    """List dead letters without what their records held, the newest first.

    It looks at the newest 1,000 records of each partition of the dead-letter topic, read at most once in ten seconds.
    `rlhf-monitor dead-letters list` looks at all of them; `show` and `replay` take a letter's place.
    """
    wanted = LetterFilter(reason=reason, topic=topic, since=since, until=until)
    rows = page.cut(letters.letters(wanted), lambda found: found[0], newest_first=True)
    return [row for _, row in rows]
