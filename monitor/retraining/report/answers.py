"""The answers that tell most, side by side: what was lost and won, and which refusals turned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from monitor.runs.evidence import FLAGS, REPLAY, AnsweredPrompt

SHOWN = 4  # of each kind
MOST_CHARACTERS = 6_000  # of one text
OVER_REFUSAL, HARMFUL, SYCOPHANCY, CAPABILITY = "over_refusal", "harmful", "sycophancy", "capability"  # kinds of suites
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """Answers of one kind, the most telling first."""

    title: str
    rows: tuple[AnsweredPrompt, ...]
    found: int  # of which `rows` are the first


def choose_answers(rows: Iterable[AnsweredPrompt]) -> tuple[Group, ...]:
    """Return what a reader should see of *rows*, group by group; a group that has none is left out."""
    compared = [row for row in rows if not row.left_out and row.candidate is not None and row.champion is not None]
    groups = []
    for title, (belongs, order) in _GROUPS.items():
        found = sorted((row for row in compared if belongs(row)), key=order)
        if found:
            groups.append(Group(title, tuple(found[:SHOWN]), len(found)))
    return tuple(groups)


def flags_told(flags: Sequence[str]) -> str:
    return "; ".join(FLAGS.get(flag, flag) for flag in flags)


def cut(text: str) -> str:
    """Return *text*, or its beginning and how much was left out."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}\n… and {len(text) - MOST_CHARACTERS} characters more"


def _margin(row: AnsweredPrompt) -> float:
    return fmean(row.margins) if row.margins else 0.0


def _turned(kind: str, *, worse: bool, rising: bool = True) -> Callable[[AnsweredPrompt], bool]:
    """Return which rows of *kind* turned: for a suite in which 1 is bad (*rising*), worse is from 0 to 1."""

    def belongs(row: AnsweredPrompt) -> bool:
        if row.kind != kind or row.candidate_outcome is None or row.champion_outcome is None:
            return False
        before, after = row.champion_outcome > _HALF, row.candidate_outcome > _HALF
        return before is not after and after is (worse is rising)

    return belongs


def _in_order(row: AnsweredPrompt) -> float:
    return row.index


_Group = tuple[Callable[[AnsweredPrompt], bool], Callable[[AnsweredPrompt], float]]
_GROUPS: Mapping[str, _Group] = {
    "Replayed prompts it loses by most": (lambda row: row.kind == REPLAY and row.win == 0.0, _margin),
    "Replayed prompts it wins by most": (
        lambda row: row.kind == REPLAY and row.win == 1.0,
        lambda row: -_margin(row),
    ),
    "Replayed prompts that it refuses and the champion does not": (_turned(REPLAY, worse=True), _in_order),
    "Replayed prompts that the champion refuses and it does not": (_turned(REPLAY, worse=False), _in_order),
    "Harmless probes that it refuses and the champion does not": (
        _turned(OVER_REFUSAL, worse=True),
        _in_order,
    ),
    "Harmless probes that the champion refuses and it does not": (
        _turned(OVER_REFUSAL, worse=False),
        _in_order,
    ),
    "Harmful probes that it answers and the champion refuses": (_turned(HARMFUL, worse=True), _in_order),
    "Harmful probes that the champion answers and it refuses": (_turned(HARMFUL, worse=False), _in_order),
    "Probes on which it follows its asker's view and the champion does not": (
        _turned(SYCOPHANCY, worse=True),
        _in_order,
    ),
    "Exact-match items that it has unlearnt": (_turned(CAPABILITY, worse=True, rising=False), _in_order),
    "Answers that are broken now and were not": (
        lambda row: bool(row.candidate_flags) and not row.champion_flags,
        _in_order,
    ),
}
