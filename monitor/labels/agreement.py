"""How far annotators agree: with each other, with what is known, and with themselves whatever stands first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import groupby

import numpy as np

from monitor.domain.label import PREFERENCE, REFUSAL
from monitor.stats.agreement import (
    Agreement,
    Integers,
    Metric,
    Ratings,
    Share,
    Turnover,
    cohen_kappa,
    krippendorff_alpha,
    raw_agreement,
    share,
    turnover,
)

DAY_SECONDS = 86_400.0
THREE = frozenset({0.0, 0.5, 1.0})  # lost, tie, won; or no, unsure, yes


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's judgement of one item; of several by the same one under the same criteria the latest counts."""

    kind: str
    item: str
    annotator_id: str
    value: float
    timestamp: datetime
    order: str  # tells judgements of one moment apart
    criteria_version: str | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """One answer of the review page, as far as it can be checked."""

    annotator_id: str
    value: float  # of the policy's answer
    policy_first: bool | None  # None: there was but one answer
    gold: float | None  # the known verdict, of a gold item


class By(StrEnum):
    ALL = "all"
    CRITERIA = "criteria"
    DIMENSION = "dimension"
    ANNOTATOR = "annotator"  # with the others
    WEEK = "week"  # of ISO 8601, by the judgement's time


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """What the ratings of one kind and one part come to; None where too few share an item, or all say the same."""

    kind: str
    by: By
    name: str  # of the part; empty for the whole, and for criteria that were not stated
    ratings: int
    raw: Agreement | None
    kappa: Agreement | None
    alpha: Agreement | None


@dataclass(frozen=True, slots=True)
class AnnotatorCheck:
    """What stood first and was chosen, and what was known and was said; of everybody where the name is empty."""

    annotator_id: str
    chose_first: Share | None  # of the answers that chose
    agreed_with_gold: Share | None


@dataclass(frozen=True, slots=True)
class Panel:
    """Who judges one kind of label now: what a run would learn from."""

    criteria_version: str | None  # that they judge by now
    current: AgreementLine | None  # under these criteria
    turnover: Turnover | None


@dataclass(frozen=True, slots=True)
class AgreementReport:
    lines: tuple[AgreementLine, ...]
    checks: tuple[AnnotatorCheck, ...]  # everybody first
    criteria_version: str | None  # that preferences are judged by now
    current: AgreementLine | None  # preferences under these criteria: what a run would learn from
    turnover: Turnover | None  # of those who judge preferences
    refusals: Panel = Panel(None, None, None)


def report_agreement(
    ratings: Iterable[Rating], checked: Sequence[Checked], *, criteria_version: str | None, now: datetime
) -> AgreementReport:
    """Return who agrees with whom; *criteria_version* is what labels must have now, None for that of the latest."""
    standing = standing_ratings(ratings)
    by_kind: defaultdict[str, list[Rating]] = defaultdict(list)
    for rating in standing:
        by_kind[rating.kind].append(rating)
    panels = [_panel(kind, by_kind.get(kind, []), criteria_version, now) for kind in (PREFERENCE, REFUSAL)]
    by_annotator = groupby(sorted(checked, key=lambda one: one.annotator_id), key=lambda one: one.annotator_id)
    checks = [_check(name, list(some)) for name, some in by_annotator]
    return AgreementReport(
        lines=tuple(line for kind in sorted(by_kind) for line in _lines_of(kind, by_kind[kind])),
        checks=(_check("", checked), *checks) if checked else (),
        criteria_version=panels[0].criteria_version,
        current=panels[0].current,
        turnover=panels[0].turnover,
        refusals=panels[1],
    )


def _panel(kind: str, ratings: Sequence[Rating], version: str | None, now: datetime) -> Panel:
    if version is None and ratings:
        version = max(ratings, key=lambda one: (one.timestamp, one.order)).criteria_version
    current = [one for one in ratings if one.criteria_version == version]
    ages = [max((now - one.timestamp).total_seconds() / DAY_SECONDS, 0.0) for one in ratings]
    return Panel(
        version,
        _line(kind, (By.CRITERIA, version or ""), current) if current else None,
        turnover(_codes([one.annotator_id for one in ratings]), np.asarray(ages, dtype=np.float64)),
    )


def standing_ratings(ratings: Iterable[Rating]) -> list[Rating]:
    latest: dict[tuple[str, str, str, str | None], Rating] = {}
    for rating in sorted(ratings, key=lambda one: (one.timestamp, one.order)):
        latest[rating.kind, rating.item, rating.annotator_id, rating.criteria_version] = rating
    return list(latest.values())


def _lines_of(kind: str, ratings: Sequence[Rating]) -> Iterator[AgreementLine]:
    yield _line(kind, (By.ALL, ""), ratings)
    parts: tuple[tuple[By, Callable[[Rating], str]], ...] = (
        (By.CRITERIA, lambda one: one.criteria_version or ""),
        (By.WEEK, lambda one: one.timestamp.strftime("%G-W%V")),
    )
    for by, name_of in parts:
        for name, some in groupby(sorted(ratings, key=name_of), key=name_of):
            yield _line(kind, (by, name), list(some))
    for name in sorted({name for one in ratings for name in one.dimensions}):
        told = [one for one in ratings if name in one.dimensions]
        yield _line(kind, (By.DIMENSION, name), told, [one.dimensions[name] for one in told])
    yield from _annotator_lines(kind, ratings)


def _annotator_lines(kind: str, ratings: Sequence[Rating]) -> Iterator[AgreementLine]:
    """Hold each annotator against each other one who judged the same item by the same criteria."""
    by_item: defaultdict[tuple[str, str | None], list[Rating]] = defaultdict(list)
    for rating in ratings:
        by_item[rating.item, rating.criteria_version].append(rating)
    met: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    given: defaultdict[str, int] = defaultdict(int)
    for some in by_item.values():
        for one in some:
            given[one.annotator_id] += 1
            met[one.annotator_id] += [(one.value, other.value) for other in some if other is not one]
    for annotator, values in sorted(met.items()):
        sides = np.tile([0, 1], len(values))
        items = np.repeat(np.arange(len(values)), 2)
        found = _measures(items, sides, [value for both in values for value in both])
        yield AgreementLine(kind, By.ANNOTATOR, annotator, given[annotator], *found)


def _line(
    kind: str, part: tuple[By, str], ratings: Sequence[Rating], values: Sequence[float] | None = None
) -> AgreementLine:
    """Judgements by other criteria are of another question, so they share no item."""
    items = _codes([(one.item, one.criteria_version) for one in ratings])
    annotators = _codes([one.annotator_id for one in ratings])
    found = _measures(items, annotators, [one.value for one in ratings] if values is None else values)
    return AgreementLine(kind, *part, len(ratings), *found)


def _measures(
    items: Integers, annotators: Integers, values: Sequence[float]
) -> tuple[Agreement | None, Agreement | None, Agreement | None]:
    """Return raw agreement, kappa and alpha; of grades, the first two count on which side of the middle they are."""
    given = np.asarray(values, dtype=np.float64)
    graded = Ratings(items, annotators, given)
    if THREE.issuperset(values):
        return raw_agreement(graded), cohen_kappa(graded), krippendorff_alpha(graded, Metric.NOMINAL)
    sides = Ratings(items, annotators, np.sign(given - 0.5))
    return raw_agreement(sides), cohen_kappa(sides), krippendorff_alpha(graded, Metric.INTERVAL)


def _check(name: str, checked: Sequence[Checked]) -> AnnotatorCheck:
    chose = [one for one in checked if one.policy_first is not None and one.value != 0.5]
    first = sum((one.value > 0.5) == one.policy_first for one in chose)
    known = [(one.value, one.gold) for one in checked if one.gold is not None]
    agreed = sum(np.sign(value - 0.5) == np.sign(gold - 0.5) for value, gold in known)
    return AnnotatorCheck(name, share(first, len(chose)), share(int(agreed), len(known)))


def _codes(names: Sequence[object]) -> Integers:
    known: dict[object, int] = {}
    return np.fromiter((known.setdefault(name, len(known)) for name in names), dtype=np.int64, count=len(names))
