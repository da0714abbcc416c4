"""What users did after an answer, told by labels that come later: rates among all traces, those without a label too."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.domain.label import ABANDONMENT, EDIT, ESCALATION, RATING, REGENERATION, REOPEN
from monitor.domain.signal import Signal, SignalKind


@dataclass(frozen=True, slots=True)
class FeedbackSignal:
    """Whether a label of one kind, with a value that counts, came in time."""

    name: str
    kind: str  # of the labels
    meaning: str
    down: bool = False  # values below one half count, and not those of one half and more

    @property
    def signal(self) -> Signal:
        return Signal(self.name, SignalKind.BINARY, "ratio", self.meaning)

    def counts(self, value: float) -> bool:
        return value < 0.5 if self.down else value >= 0.5


FEEDBACK: dict[str, FeedbackSignal] = {
    one.name: one
    for one in (
        FeedbackSignal("thumbs_down", RATING, "a user rated the answer down", down=True),
        FeedbackSignal("thumbs_up", RATING, "a user rated the answer up"),
        FeedbackSignal("escalation", ESCALATION, "the user turned to a person after the answer"),
        FeedbackSignal("reopen", REOPEN, "what the answer had settled was opened again"),
        FeedbackSignal("edit", EDIT, "the user changed at least half of the answer before using it"),
        FeedbackSignal("regeneration", REGENERATION, "the user asked for another answer in its place"),
        FeedbackSignal("abandonment", ABANDONMENT, "the user left after the answer, before the task was done"),
    )
}
FEEDBACK_SIGNALS: tuple[Signal, ...] = tuple(one.signal for one in FEEDBACK.values())
