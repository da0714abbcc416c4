"""Query parameters that a route does not have are refused: a misspelt filter would show everything."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant

from monitor.errors import InvalidInput
from monitor.web.auth import Known

_SHOWN_CHARACTERS = 100


def refuse_unknown_parameters(request: Request, _: Known) -> None:
    """Raise `InvalidInput` that names each parameter the route does not know, and those that it does."""
    known = sorted(set(_names(request.scope["route"].dependant)))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        told = "; ".join(f"query.{ascii(name[:_SHOWN_CHARACTERS])[1:-1]}: no such parameter" for name in unknown)
        near = get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidInput(f"{told}; {meant}{_there_are(known)}")


def _there_are(known: list[str]) -> str:
    return f"there are {', '.join(known)}" if known else "it takes none"


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (parameter.alias for parameter in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _names(inner)
