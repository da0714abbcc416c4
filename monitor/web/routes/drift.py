"""Streams and the baseline they are judged against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import APIRouter

from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary, Overview
from monitor.web.auth import AnyActor
from monitor.web.state import kept

router = APIRouter(tags=["drift"])


class Overviews(Protocol):
    def overview(self) -> Overview: ...


class Streams(Protocol):
    def streams(self) -> Sequence[StreamStatus]:
        """Return the streams of the active baseline, in any order."""
        ...


class Baselines(Protocol):
    def baseline(self) -> BaselineSummary | None:
        """Return the active baseline, if one is frozen."""
        ...


@router.get("/overview")
def get_overview(_: AnyActor, overview: Annotated[Overviews, kept("overview")]) -> Overview:
    return overview.overview()


@router.get("/streams")
def list_streams(_: AnyActor, streams: Annotated[Streams, kept("streams")]) -> Sequence[StreamStatus]:
    """List the streams by name; an `evidence_log` of null is no evidence at all."""
    return sorted(streams.streams(), key=lambda stream: stream.key)


@router.get("/baseline")
def get_baseline(_: AnyActor, baselines: Annotated[Baselines, kept("baselines")]) -> BaselineSummary | None:
    """Return the active baseline; null until the first one is frozen."""
    return baselines.baseline()
