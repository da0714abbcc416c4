"""Who reads refusals now: the model that the settings name, until a promoted one takes its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.domain.trace import Trace
from monitor.signals.refusal.reading import RefusalModel, RefusalReading


@dataclass(frozen=True, slots=True)
class _Followed:
    """Both are exchanged in one step, so nobody sees one of each."""

    model: RefusalModel
    file: Path


class CurrentRefusals:
    """A refusal model that may be exchanged at any time; for many threads.

    What must be read by one model, whatever is promoted meanwhile, is read by `pinned`.
    """

    def __init__(self, given: Callable[[], RefusalModel]) -> None:
        """*given* returns whom the settings name; it is asked for when somebody reads."""
        self._given = given
        self._followed: _Followed | None = None

    @property
    def version(self) -> str:
        return self.pinned().version

    @property
    def threshold(self) -> float:
        return self.pinned().threshold

    @property
    def file(self) -> Path | None:
        """Return the weights that were promoted; None while those of the settings read."""
        return None if self._followed is None else self._followed.file

    def read(self, traces: Sequence[Trace]) -> Sequence[RefusalReading | None]:
        return self.pinned().read(traces)

    def pinned(self) -> RefusalModel:
        """Return the model of now, which stays the same."""
        return self._given() if self._followed is None else self._followed.model

    def follow(self, model: RefusalModel, file: Path) -> None:
        self._followed = _Followed(model, file)


def pinned(model: RefusalModel) -> RefusalModel:
    """Return *model*, or the one in its place now where that may change."""
    return model.pinned() if isinstance(model, CurrentRefusals) else model
