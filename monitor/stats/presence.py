"""How many records may come without what usually comes with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from monitor.stats.rhythm import Floats, Silences


class Presence:
    """What comes with records: scores, feedback, a newer timestamp; one a row, changed in place by `add`.

    Its clock counts the records, so it stands still while none come.

    *Assumptions*: records miss it independently, in the share they did so far (rule of succession), or in runs like the
    longest that were; the longer of the two is waited for.
    """

    def __init__(self, rows: int) -> None:
        self.silences = Silences(rows)
        self.waited = np.zeros(rows)  # records since the last that had it
        self.records = np.zeros(rows)  # that could have had it, since the first that did
        self.missed = np.zeros(rows)  # of them

    def __len__(self) -> int:
        return len(self.waited)

    def add(self, records: Floats, found: Floats, *, learn: bool = True) -> None:
        """Take what came at one time, a number a row: *records*, of which *found* had it."""
        begun, here = self.records > 0.0, found > 0.0
        if learn:
            ended = np.flatnonzero(begun & here)
            self.silences.keep(ended, self.waited[ended])
            counted = begun | here
            self.records += np.where(counted, np.maximum(records, found), 0.0)
            self.missed += np.where(counted, np.maximum(records - found, 0.0), 0.0)
        self.waited = np.where(here | (self.records == 0.0), 0.0, self.waited + records)

    def age(self) -> None:
        """Forget what was before the last call of this."""
        self.silences.age(np.arange(len(self)))
        self.records /= 2.0
        self.missed /= 2.0

    def allowed(self, exceed: Floats, records: Floats) -> Floats:
        """Return how many records may miss it, so that *exceed* longer runs come among the next *records*.

        Infinite where it never came. A history of fewer records is asked for less in proportion.
        """
        missing = (self.missed + 1.0) / (self.records + 2.0)
        run = np.log(np.maximum(records / exceed, 1.0)) / -np.log(np.minimum(missing, 1.0 - 1e-12))
        runs = self.silences.ended.sum(axis=1) / np.maximum(self.records, 1.0) * records
        asked = exceed * np.minimum(self.records / np.maximum(records, 1e-9), 1.0)
        longest = self.silences.level(asked / np.maximum(runs, 1e-9))
        return np.where(self.records > 0.0, np.maximum(run, np.where(np.isfinite(longest), longest, 0.0)), np.inf)

    def grow(self, rows: int) -> None:
        """Add rows that never came, up to *rows*."""
        fresh, own = Presence(rows - len(self)).arrays(), self.arrays()
        self.restore({name: np.concatenate([own[name], fresh[name]]) for name in own})

    def arrays(self) -> dict[str, Floats]:
        """Return the state by name, rows first."""
        own: dict[str, NDArray[np.float64]] = {"waited": self.waited, "records": self.records, "missed": self.missed}
        return own | {"longest": self.silences.longest, "ended": self.silences.ended}

    def restore(self, arrays: Mapping[str, Floats]) -> None:
        """Take back what `arrays` gave."""
        for name, value in arrays.items():
            setattr(self.silences if name in {"longest", "ended"} else self, name, value)
