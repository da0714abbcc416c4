"""What the labels on a trace come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from statistics import fmean

from monitor.domain.label import Label, LabelSource, Verdict

COUNTED = frozenset({LabelSource.HUMAN})  # users choose themselves whether they speak; models are asked for by name


def verdicts(
    labels: Iterable[Label],
    kind: str,
    *,
    criteria_version: str | None = None,
    stated_only: bool = False,
    sources: Collection[LabelSource] = COUNTED,
) -> dict[str, Verdict]:
    """Return by trace the mean over annotators of each one's latest label, whatever the order of *labels*.

    A later content of a label's id takes the place of the earlier one, so *labels* holds all contents of each id. Only
    labels of *kind* and *sources* count; where a *criteria_version* is given, those that state another one do not. A
    label without an annotator is an annotator of its own.

    An annotator's probability is the latest that one states: it belongs to the trace, and a correction need not
    repeat it. With *stated_only*, annotators who never state one do not count.
    """
    by_trace: defaultdict[str, defaultdict[tuple[bool, str], list[Label]]] = defaultdict(lambda: defaultdict(list))
    for label in sorted(standing(labels), key=order_of):
        if label.kind == kind and label.source in sources and _meets(label, criteria_version):
            by_trace[label.trace_id][annotator_of(label)].append(label)
    found = {}
    for trace_id, annotators in by_trace.items():
        counted = [(given[-1], _stated(given)) for given in annotators.values()]
        if stated_only:
            counted = [(latest, stated) for latest, stated in counted if stated is not None]
        if counted:
            found[trace_id] = Verdict(
                fmean(latest.value for latest, _ in counted),
                len(counted),
                max(latest.timestamp for latest, _ in counted),
                min((stated for _, stated in counted if stated is not None), default=None),
            )
    return found


def latest(labels: Iterable[Label]) -> list[Label]:
    """Return what stands of *labels*: of each id, and then of each annotator on a trace, kind and criteria version."""
    found = {}
    for label in sorted(standing(labels), key=order_of):
        found[annotator_of(label), label.trace_id, label.kind, label.criteria_version] = label
    return list(found.values())


def standing(labels: Iterable[Label]) -> list[Label]:
    """Return the latest content of each label id."""
    latest: dict[str, Label] = {}
    for label in labels:
        known = latest.get(label.label_id)
        if known is None or order_of(known) < order_of(label):
            latest[label.label_id] = label
    return list(latest.values())


def order_of(label: Label) -> tuple[datetime, str, bytes]:
    """Return what labels are ordered by: the time they were given, and what settles a tie the same way everywhere."""
    return label.timestamp, label.label_id, label.digest()


def annotator_of(label: Label) -> tuple[bool, str]:
    """Tell who judged apart from all others: a label that names nobody is one person's only one."""
    return (True, label.annotator_id) if label.annotator_id is not None else (False, label.label_id)


def _meets(label: Label, criteria_version: str | None) -> bool:
    return criteria_version is None or label.criteria_version in {None, criteria_version}


def _stated(given: Iterable[Label]) -> float | None:
    stated = [label.inclusion_probability for label in given if label.inclusion_probability is not None]
    return stated[-1] if stated else None
