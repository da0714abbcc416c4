"""Streams and the baseline they are judged against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Annotated, Protocol

from fastapi import APIRouter, Query

from monitor.domain.anchor import AnchorStatus
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary
from monitor.drift.correlation import RewardCorrelation
from monitor.drift.moved import MovedStreams
from monitor.drift.summary import BaselineLaws
from monitor.web.auth import Viewer
from monitor.web.paging import LINK, NamedPage
from monitor.web.state import Day, kept

router = APIRouter(tags=["drift"])


class Streams(Protocol):
    def streams(self) -> Sequence[StreamStatus]:
        """Return the streams of the active baseline, in any order."""
        ...

    def laws(self) -> BaselineLaws | None:
        """Return what the active baseline holds, if one is frozen."""
        ...

    def unwatched_cohorts(self) -> tuple[str, ...]:
        """Return the cohorts that were seen, and of which the active baseline says nothing."""
        ...

    def unwatched_scorers(self) -> tuple[tuple[str, str], ...]:
        """Return signal and scorer version of what was seen lately without a law."""
        ...


@dataclass(frozen=True, slots=True)
class UnwatchedScorer:
    signal: str
    scorer_version: str


@dataclass(frozen=True, slots=True)
class Unwatched:
    cohorts: tuple[str, ...]
    scorers: tuple[UnwatchedScorer, ...]


class Days(Protocol):
    def moved(self, day: date | None) -> MovedStreams | None:
        """Return which streams moved on *day*, or on the last day; None where nothing was watched yet."""
        ...


class Anchors(Protocol):
    def anchor(self) -> AnchorStatus | None:
        """Return where the scorer in use stands; None where its set was never scored."""
        ...


class Correlations(Protocol):
    def correlations(self) -> Sequence[RewardCorrelation]:
        """Return how the reward goes with length and format, by policy model, scorer and signal."""
        ...


class Baselines(Protocol):
    def baseline(self) -> BaselineSummary | None:
        """Return the active baseline, if one is frozen."""
        ...


@router.get("/streams", responses={200: {"headers": LINK}})
def list_streams(_: Viewer, streams: Annotated[Streams, kept("streams")], page: NamedPage) -> Sequence[StreamStatus]:
    """List the streams by name; an `evidence_log` of null is no evidence at all."""
    return page.cut(streams.streams(), lambda stream: astuple(stream.key))


@router.get("/streams/unwatched")
def get_unwatched(_: Viewer, streams: Annotated[Streams, kept("streams")]) -> Unwatched:
    """Return what was seen, and the active baseline says nothing of: a new baseline would."""
    scorers = tuple(UnwatchedScorer(*key) for key in streams.unwatched_scorers())
    return Unwatched(streams.unwatched_cohorts(), scorers)


@router.get("/moved")
def get_moved(
    _: Viewer,
    days: Annotated[Days, kept("days")],
    day: Annotated[Day | None, Query(description="in UTC; without it the last day there is")] = None,
) -> MovedStreams | None:
    """Return which streams moved on a day; null until anything was watched.

    Of the streams told of `on_the_day`, at most `false_share` have not moved, in the mean over days. Of all that were
    told of `over_days` since the baseline, at most that share have not. While a day lasts, it is told of so far.
    """
    return days.moved(day)


@router.get("/anchor")
def get_anchor(_: Viewer, anchors: Annotated[Anchors, kept("anchors")]) -> AnchorStatus | None:
    """Return whether the scorer in use scores fixed answers as at first; null until it has scored them."""
    return anchors.anchor()


@router.get("/correlations", responses={200: {"headers": LINK}})
def list_correlations(
    _: Viewer, correlations: Annotated[Correlations, kept("correlations")], page: NamedPage
) -> Sequence[RewardCorrelation]:
    """Return how the reward goes with length and format, within cohorts: in the baseline's window, and since.

    A policy that games its reward model shows here first. It is a sign to look at, and alarms nobody.
    """
    return page.cut(correlations.correlations(), lambda row: (row.policy_model, row.scorer_version, row.signal))


@router.get("/baseline")
def get_baseline(_: Viewer, baselines: Annotated[Baselines, kept("baselines")]) -> BaselineSummary | None:
    """Return the active baseline; null until the first one is frozen."""
    return baselines.baseline()


@router.get("/baseline/laws")
def get_laws(_: Viewer, streams: Annotated[Streams, kept("streams")]) -> BaselineLaws | None:
    """Return what the active baseline expects of each signal; null until the first one is frozen.

    `uses` names the richest covariates that explain a signal, and `r2` how much of it, held out. A cohort that is
    `unsteady` raises no alert, only warnings. Numbers have the signal's `unit`.
    """
    return streams.laws()
