"""Which traces are judged: drawn by a keyed hash of the trace's id, before anybody has seen a label of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.domain.label import PREFERENCE
from monitor.domain.review import Reason, Selection, SelectionPlan, draw
from monitor.domain.score import Reward
from monitor.domain.trace import Trace


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """How a worker draws; without a plan nothing is selected, and what could be labelled is logged all the same."""

    key: bytes = b""  # nobody who writes traces should know it
    overlap: int = 1  # annotators of an item that is checked
    overlap_ratio: float = 0.0  # share of items that are checked; the others have one annotator
    plan: Callable[[], SelectionPlan] = SelectionPlan  # in force now; may raise `Unavailable`

    def select(
        self, traces: Sequence[Trace], repeated: Sequence[bool], rewards: Sequence[Reward | None]
    ) -> list[tuple[Selection, ...]]:
        """Return each trace's selections, one a kind of label that could be given to it; a repeat has none.

        A preference is always among them where a reference response is there, with probability 0 unless the plan
        asks for it: labels may come from elsewhere, and state their own.
        """
        plan = self.plan()
        kinds = tuple(dict.fromkeys((PREFERENCE, *plan.kinds)))
        selections = []
        for trace, repeat, reward in zip(traces, repeated, rewards, strict=True):
            open_to = () if repeat or trace.whole_response is None else kinds
            disagreement = None if reward is None else reward.disagreement
            selections.append(
                tuple(
                    self._draw(plan, kind, trace.trace_id, disagreement)
                    for kind in open_to
                    if kind != PREFERENCE or trace.reference_response is not None
                )
            )
        return selections

    def _draw(self, plan: SelectionPlan, kind: str, trace_id: str, disagreement: float | None) -> Selection:
        if kind not in plan.kinds or not plan.least:
            return Selection(kind, 0.0, 0.0, selected=False)
        probability = plan.probability(disagreement)
        selected = draw(self.key, "selected", kind, trace_id) < probability
        is_checked = selected and draw(self.key, "overlap", kind, trace_id) < self.overlap_ratio
        return Selection(
            kind,
            probability,
            plan.least,
            selected=selected,
            reason=Reason.DISAGREEMENT if probability > plan.least else Reason.FLOOR,
            wanted=self.overlap if is_checked else 1,
        )
