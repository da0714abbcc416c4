"""What is estimated from labels: a signal's rate among all traces, by a cheap opinion on all and labels on some."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.domain.label import PREFERENCE, REFUSAL
from monitor.domain.signal import Signal, SignalKind


@dataclass(frozen=True, slots=True)
class Estimand:
    """A rate between 0 and 1 that labels of one kind tell: another one is a line in ESTIMANDS."""

    name: str  # of the signal in which its drift is followed
    kind: str  # of the labels
    cheap: str | None  # the signal, 0 to 1, that says the same of every trace; None: nothing does
    unit: str
    accuracy: Signal | None = None  # in which it is followed whether the opinion agrees with each verdict
    meaning: str = "what labels of this kind say, at the rate of all traces"

    @property
    def selected(self) -> str:
        """The series in which the worker logs which traces may be labelled, and with which probability."""
        return selected_series(self.kind)

    @property
    def labelled(self) -> str:
        """The series of the verdicts of settled blocks, by the criteria's version."""
        return f"labelled_{self.kind}"

    @property
    def compared(self) -> str:
        """The series of the cheap opinions on what was labelled, by the version that had them."""
        return f"compared_{self.kind}"

    @property
    def rectifier(self) -> str:
        """The signal that tells how far the cheap opinion is off: the labels less the opinion."""
        return f"{self.name}_rectifier"

    def signals(self) -> tuple[Signal, ...]:
        own = Signal(self.name, SignalKind.ESTIMATE, self.unit, self.meaning)
        if self.cheap is None:
            return (own,)
        off = f"how far {self.cheap} is from what labels say"
        beside = () if self.accuracy is None else (self.accuracy,)
        return (own, Signal(self.rectifier, SignalKind.ESTIMATE, self.unit, off), *beside)


def selected_series(kind: str) -> str:
    """Return the name of the series that tells which traces were drawn for labels of *kind*."""
    return f"selected_{kind}"


# Log ratio of the words of an answer and of its reference: written beside the selections; no baseline holds it.
LENGTH_GAP = Signal("length_gap", SignalKind.RANKED, "log ratio")
REWARD_WIN = Signal(
    "reward_win", SignalKind.PROBABILITY, "ratio", "how sure reward models are that the answer beats its reference"
)
REWARD_ACCURACY = Signal(
    "reward_accuracy", SignalKind.PROBABILITY, "ratio", "the reward models agree with a fresh human preference"
)
REFUSAL_ACCURACY = Signal(
    "refusal_accuracy", SignalKind.PROBABILITY, "ratio", "the refusal model agrees with a fresh human label"
)
WIN_RATE = Estimand(
    "win_rate", PREFERENCE, REWARD_WIN.name, "ratio", REWARD_ACCURACY, "people prefer the answer to its reference"
)
REFUSAL_RATE = Estimand(
    "refusal_rate", REFUSAL, "refusal", "ratio", REFUSAL_ACCURACY, "people call the answer a refusal"
)
WIN_RATE_LC = Signal("win_rate_lc", SignalKind.ESTIMATE, "ratio", "the win rate, less what length explains of it")
ESTIMANDS: dict[str, Estimand] = {
    estimand.name: estimand
    for estimand in (
        WIN_RATE,
        REFUSAL_RATE,
    )
}
# Written by the source of labels: each has a window of its own, since labels come days after their traces.
LABEL_SIGNALS: tuple[Signal, ...] = (
    *(signal for estimand in ESTIMANDS.values() for signal in estimand.signals()),
    WIN_RATE_LC,
)
