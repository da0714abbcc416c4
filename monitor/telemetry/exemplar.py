"""Which trace stands beside an observation as its example."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOKED_AT = 10  # ids of a batch: where none of so many is a number, its producer gives no numbers
_NUMBER = re.compile(
    r"(?P<trace>[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-(?P<span>[0-9a-f]{16}))?", re.ASCII
)


def exemplar_of(trace_ids: Iterable[str]) -> dict[str, str] | None:
    """Return the first of *trace_ids* that is a number: a W3C trace id, that with its span's, or a UUID.

    Any other id is a producer's own words, and might name a person: metrics never hold it.
    """
    for _, trace_id in zip(range(LOOKED_AT), trace_ids, strict=False):
        found = _NUMBER.fullmatch(trace_id)
        if found is not None:
            return {f"{name}_id": value for name, value in found.groupdict().items() if value is not None}
    return None
