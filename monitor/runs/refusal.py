"""What a run reports that corrects the learned refusal model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from monitor.runs.policy import Comparison
from monitor.runs.result import RunResult

REFUSAL = "refusal"  # the registry's role

# What is compared, by name, on answers that neither side was fitted to.
LOG_LOSS, AUROC, RECALL, FALSE = "log_loss", "auroc", "recall", "held_out_false"
ORDINARY, KNOWN = "ordinary_false", "known_refusals"
MEASURES = {
    LOG_LOSS: "mean log loss of the probability of a refusal, on held-out labels, in nats",
    AUROC: "chance that a held-out answer which refuses is read as more of a refusal than one that does not",
    RECALL: "share of held-out answers that people say refuse, and that are found",
    FALSE: "share of held-out answers that people say do not refuse, and that are found all the same",
    ORDINARY: "share of ordinary answers of the shipped sample that are found; hardly one refuses",
    KNOWN: "share of plain refusals of the shipped sample that are found",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalResult(RunResult):
    """A corrected refusal model beside the one it began from."""

    role: ClassVar[str] = REFUSAL

    reads_as: str  # the version in the candidate's series
    labels: int  # judged answers that were learnt from
    held_out: int
    held_out_refusing: int
    comparisons: tuple[Comparison, ...]
    champion_auroc_lower: float  # 95% interval of the champion's own, on held-out labels
    champion_auroc_upper: float
    action: Literal["refusal_refresh"] = "refusal_refresh"
