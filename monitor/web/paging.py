"""Listings, a page at a time: an opaque cursor says where the next one begins, and a Link header leads there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Depends, Query, Request, Response

from monitor.errors import InvalidInput

MOST = 1000  # rows of one page
WHOLE = 10_000  # rows of a listing that is made as a whole, and fits one page as a rule
MAX_CURSOR_CHARACTERS = 4096
LINK = {"Link": {"description": '`<?...>; rel="next"` while there are more rows', "schema": {"type": "string"}}}

_Key = TypeVar("_Key")
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Key]):
    """What is asked of a listing, and where its answer tells of the rows after it.

    A cursor holds the key of the last row that was given, so rows that come or go meanwhile make
    nobody see a row twice, or miss one.
    """

    request: Request
    response: Response
    limit: int
    after: _Key | None  # the key of the last row of the page before

    @property
    def wanted(self) -> int:
        """Return how many rows to look for: one more than is given tells whether there are more."""
        return self.limit + 1

    def give(self, rows: Sequence[_Row], key: Callable[[_Row], _Key]) -> Sequence[_Row]:
        """Return the page's rows out of up to `wanted`, and link to the next page where there is one."""
        if len(rows) > self.limit:
            self.link(key(rows[self.limit - 1]))
        return rows[: self.limit]

    def cut(self, rows: Sequence[_Row], key: Callable[[_Row], Any], *, newest_first: bool = False) -> Sequence[_Row]:
        """Return the page's part of all the rows there are, by *key*, which each row has for itself."""
        ordered = sorted(rows, key=key, reverse=newest_first)
        if self.after is not None:
            ordered = [row for row in ordered if (key(row) < self.after if newest_first else key(row) > self.after)]
        return self.give(ordered, key)

    def link(self, last: _Key) -> None:
        """Lead to the rows behind the one whose key is *last*."""
        asked = [(name, value) for name, value in self.request.query_params.multi_items() if name != "cursor"]
        query = urlencode([*asked, ("cursor", _pack(self.request, last))])
        self.response.headers["Link"] = f'<?{query}>; rel="next"'


Numbered = Page[int]  # by a number that rows have, the newest first
Named = Page[tuple[str, ...]]  # by names, in their order


def paged(key: Any, usual: int, *, most: int = MOST) -> Any:
    """Return the dependency that reads a page whose rows have keys of the type *key*."""

    def read(
        request: Request,
        response: Response,
        limit: int = Query(usual, ge=1, le=most, description="rows at most"),  # `most` is no global: no annotation
        cursor: Annotated[
            str | None,
            Query(
                max_length=MAX_CURSOR_CHARACTERS,
                pattern=r"^[A-Za-z0-9_-]+$",  # of ASCII alone, so that the longest fits a request's head
                description="from the `next` link of the page before; opaque",
            ),
        ] = None,
    ) -> Page[Any]:
        return Page(request, response, limit, None if cursor is None else _unpack(request, cursor, key))

    return Depends(read)


def span(page: Numbered, rows: Sequence[_Row]) -> Sequence[_Row]:
    """Return the page's part of *rows*, whose order the settings give: it goes by their places in it."""
    numbered = list(enumerate(rows, start=1))
    return [row for _, row in page.cut(numbered, lambda pair: pair[0])]


NumberedPage = Annotated[Numbered, paged(int, 100)]
WholePage = Annotated[Numbered, paged(int, WHOLE, most=WHOLE)]
NamedPage = Annotated[Named, paged(tuple[str, ...], WHOLE, most=WHOLE)]


def _pack(request: Request, key: object) -> str:
    raw = msgspec.json.encode([_listing(request), key])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unpack(request: Request, cursor: str, key: Any) -> Any:
    """Return the key in *cursor*; a cursor of another listing, or no cursor at all, is refused."""
    listing: str | None = None
    found: Any = None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        listing, found = msgspec.json.decode(raw, type=tuple[str, key])
    except (ValueError, msgspec.MsgspecError):
        pass
    if listing != _listing(request):
        raise InvalidInput("query.cursor is none of this listing's: take it from the `next` link of the page before")
    return found


def _listing(request: Request) -> str:
    path: str = request.scope["path"]  # not its route's: each alarm has answers of its own
    return path
