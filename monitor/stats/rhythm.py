"""How long a silence is surprising, told from a stream's own arrivals.

A stream's clock runs at the pace at which its arrivals are expected: a quiet night is short on it, a silent minute at
noon is long. The longest silences on that clock, of many weeks, say how long the next one may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
HOUR = 3600.0
DAY_HOURS, WEEK_HOURS = 24, 168
EPOCH_HOUR = 72  # of the week, from Monday: 1970 began on a Thursday
KEPT = 64  # longest silences of a stream, of each of two generations
MIN_SHAPED = 10  # silences from which a heavy tail can be told from a light one
MAX_SHAPE = 0.9
HALF_LIFE_HOURS = 4.0 * WEEK_HOURS  # of what was counted: rhythms change with the seasons
GENERATIONS_HOURS = (float(DAY_HOURS), float(WEEK_HOURS))  # after which one begins; then every HALF_LIFE_HOURS
PRIOR_ARRIVALS = 0.1  # what a coarser calendar's rate weighs in a finer one
MARGIN = 1.0  # a finer calendar that foretold as well, to this log score, is taken
_HOURS = np.arange(WEEK_HOURS)
_KINDS_OF_DAY = DAY_HOURS * np.maximum(_HOURS // DAY_HOURS - 4, 0) + _HOURS % DAY_HOURS  # weekdays, Saturday, Sunday
# Which hours of the week are taken together, from coarse to fine.
CALENDARS = np.stack([0 * _HOURS, _HOURS % DAY_HOURS, _KINDS_OF_DAY, _HOURS])


class Silences:
    """The longest silences of many streams, one a row, of this generation and the one before.

    *Guarantee*: where silences are exponential and independent, the next one passes `level(share)` with a
    probability of *share* on average, the estimate's own error included. A heavier tail is estimated (generalised
    Pareto, by probability-weighted moments), so there it is calibrated only.

    *References*: Hosking and Wallis, "Parameter and quantile estimation for the generalized Pareto distribution",
    Technometrics 29 (1987); Coles, "An Introduction to Statistical Modeling of Extreme Values" (2001), section 4.3.
    """

    def __init__(self, rows: int) -> None:
        self.longest = np.full((rows, 2, KEPT), -1.0)  # -1: none
        self.ended = np.zeros((rows, 2))  # how many there were

    def keep(self, rows: Rows, lengths: Floats) -> None:
        """Take one silence that is over for each of the distinct *rows*."""
        self.ended[rows, 0] += 1.0
        place = np.argmin(self.longest[rows, 0], axis=1)
        longer = lengths > self.longest[rows, 0, place]
        self.longest[rows[longer], 0, place[longer]] = lengths[longer]

    def age(self, rows: Rows) -> None:
        """Begin a generation: what was before the last one is forgotten."""
        self.longest[rows, 1], self.ended[rows, 1] = self.longest[rows, 0], self.ended[rows, 0]
        self.longest[rows, 0], self.ended[rows, 0] = -1.0, 0.0

    def scale(self, factors: Floats) -> None:
        """Tell all silences on clocks that run *factors* as fast."""
        self.longest = np.where(self.longest > 0.0, self.longest * factors[:, None, None], self.longest)

    def level(self, share: Floats) -> Floats:
        """Return the length that a *share* of each row's silences passes; infinite where there was none yet."""
        ordered = -np.sort(-self.longest.reshape(len(share), -1), axis=1)[:, :KEPT]
        ended = self.ended.sum(axis=1)
        held = (ordered >= 0.0).sum(axis=1)
        more = ended > held  # than those held: the shortest of them is where the tail begins
        used = np.maximum(held - more, 1)
        start = np.where(more, ordered[np.arange(len(held)), np.maximum(held - 1, 0)], 0.0)
        inside = np.arange(KEPT) < used[:, None]
        excess = np.where(inside, ordered - start[:, None], 0.0)
        mean = excess.sum(axis=1) / used
        above = np.where(inside, (np.arange(KEPT) + 0.35) / used[:, None], 0.0)  # share of the excesses above each
        moment = (excess * above).sum(axis=1) / used
        spread = np.maximum(mean - 2.0 * moment, 1e-12)
        least = start / used  # of the mean: streams as regular as a clock have nothing else to tell from
        shaped = (used >= MIN_SHAPED) & (mean > least)
        shape = np.where(shaped, np.clip(2.0 - mean / spread, 0.0, MAX_SHAPE), 0.0)
        scale = np.maximum(mean, least) * (1.0 - shape)
        tail = shape + 1.0 / used  # an exponential's predictive tail is a Pareto's of this shape
        rarer = np.maximum(used / np.maximum(ended * share, 1e-300), 1.0)
        return np.where(held > 0, start + scale / tail * (rarer**tail - 1.0), np.inf)


class Rhythms:
    """The rhythms of many streams, one a row, changed in place by `advance` and `arrive`.

    Times are those at which something came, in seconds since 1970, and never go back. What comes at one
    time is one arrival, so a batch does not look like haste.

    *Assumptions*: the silences to come are like those that were, on the stream's own clock. The clock's calendar (none,
    hour of the day, with its kind of day, hour of the week) is the one that has foretold the arrivals best so far.

    *Guarantee*: calibrated, not proven: `tests/statistics/test_rhythm.py` holds the false rate for steady, bursty,
    daily and weekly streams. Hours whose kind (of the day, and weekday, Saturday or Sunday) no day had yet are told
    apart (`known`), since nothing can be known of them.

    *References*: Dawid, "Present position and potential developments: the prequential approach", JRSS A 147 (1984).
    """

    def __init__(self, rows: int, at: float) -> None:
        self.at = at
        self.first = np.full(rows, np.nan)
        self.last = np.full(rows, np.nan)
        self.silences = Silences(rows)
        self.clock = np.zeros(rows)  # arrivals that were expected since its first
        self.open = np.zeros(rows)  # the silence at hand, on the stream's clock
        self.known = np.zeros(rows)  # its part in hours of a kind that was watched before
        self.arrivals = np.zeros((rows, WEEK_HOURS))  # by hour of the week; older ones count less
        self.hours = np.zeros((rows, WEEK_HOURS))  # watched, likewise
        self.arrivals_now = np.zeros(rows)  # in this hour
        self.hours_now = np.zeros(rows)  # watched of this hour
        self.rates = np.zeros((rows, len(CALENDARS)))  # arrivals an hour that each calendar foretells for this one
        self.scores = np.zeros((rows, len(CALENDARS)))  # log, of how well each foretold
        self.pace = np.full(rows, 1.0 / HOUR)  # of the clock: arrivals a second; at first one an hour
        self.known_until = np.zeros(rows)  # of this hour

    def __len__(self) -> int:
        return len(self.last)

    def advance(self, to: float, *, learn: bool = True) -> None:
        """Let time pass up to *to*; without *learn* silences grow, and none of it is taken for usual."""
        begun = ~np.isnan(self.last)
        while self.at < to:
            hour = floor(self.at / HOUR)
            stop = min(to, (hour + 1) * HOUR)
            passed = np.where(begun, self.pace * (stop - self.at), 0.0)
            self.clock += passed
            self.open += passed
            self.known[begun] += (self.pace * np.clip(self.known_until - self.at, 0.0, stop - self.at))[begun]
            if learn:
                self.hours_now[begun] += (stop - self.at) / HOUR
            self.at = stop
            if stop == (hour + 1) * HOUR:
                self._close(hour)

    def arrive(self, rows: Rows, *, learn: bool = True) -> None:
        """Note an arrival at this time for each of the distinct *rows*; a row's first one begins it."""
        if learn:
            ended = rows[self.last[rows] < self.at]
            usual = np.where(self._young()[ended], self.open[ended], self.known[ended])
            self.silences.keep(ended, usual)
            self.arrivals_now[ended] += 1.0
        self.first[rows] = np.fmin(self.first[rows], self.at)
        self.last[rows] = self.at
        self.open[rows] = self.known[rows] = 0.0
        seen = self.at % HOUR  # an hour's first arrival says little of its rest
        self.known_until[rows] = np.maximum(self.known_until[rows], self.at + seen)

    def forget_silence(self) -> None:
        """Begin all silences now: nobody looked before."""
        self.open[:] = self.known[:] = 0.0

    def grow(self, rows: int) -> None:
        """Add rows that nothing has come for, up to *rows*."""
        fresh, own = Rhythms(rows - len(self), self.at).arrays(), self.arrays()
        self.restore({name: np.concatenate([own[name], fresh[name]]) for name in own})

    def usual_seconds(self, row: int, seconds: float) -> float:
        """Return how many seconds lie between two arrivals in the last *seconds*, if those are as usual."""
        if self.hours[row].any():
            return seconds / max(float(self.open[row]), 1e-9)
        return HOUR * float(self.hours_now[row]) / max(float(self.arrivals_now[row]), 1.0)

    def allowed(self, exceed: Floats, days: float) -> Floats:
        """Return how long each silence may be, on its clock, for *exceed* longer ones in *days*.

        Infinite where nothing has come twice. A history that is shorter than *days* is asked for less in proportion.
        """
        watched = np.maximum(self.hours.sum(axis=1) + self.hours_now, 1e-9)
        expected = (self.arrivals.sum(axis=1) + self.arrivals_now) / watched * DAY_HOURS * days
        asked = exceed * np.minimum(watched / DAY_HOURS / days, 1.0)
        return self.silences.level(asked / np.maximum(expected, 1e-9))

    def arrays(self) -> dict[str, Floats]:
        """Return the state by name, rows first."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return own | {"longest": self.silences.longest, "ended": self.silences.ended}

    def restore(self, arrays: Mapping[str, Floats]) -> None:
        """Take back what `arrays` gave."""
        for name, value in arrays.items():
            setattr(self.silences if name in {"longest", "ended"} else self, name, value)

    def _young(self) -> NDArray[np.bool_]:
        """Say for which rows the first day goes on: there is no calendar yet."""
        young: NDArray[np.bool_] = self.hours.sum(axis=1) < DAY_HOURS
        return young

    def _close(self, hour: int) -> None:
        """Learn from the hour that is over, and foretell the next."""
        slot = (hour + EPOCH_HOUR) % WEEK_HOURS
        before, had, young = self.rates[:, 0], self.hours.sum(axis=1) > 0.0, self._young()
        decay = 0.5 ** (1.0 / HALF_LIFE_HOURS)
        rates = np.where(self.rates > 0.0, self.rates, 1.0)
        gained = self.arrivals_now[:, None] * np.log(rates) - rates * self.hours_now[:, None]
        self.scores = decay * self.scores + np.where(had[:, None], gained, 0.0)
        self.arrivals *= decay
        self.hours *= decay
        self.arrivals[:, slot] += self.arrivals_now
        self.hours[:, slot] += self.hours_now
        self.arrivals_now[:] = self.hours_now[:] = 0.0
        self._foretell((slot + 1) % WEEK_HOURS, (hour + 1) * HOUR)
        # While the first day goes on its pace is being learnt: what was told at another pace is told again.
        again = np.where(young & (self.hours.sum(axis=1) > 0.0), self.rates[:, 0] / np.where(had, before, 1.0), 1.0)
        self.silences.scale(again)
        self.clock *= again
        self.open *= again
        self.known *= again
        age = (hour + 1) - np.floor(self.first / HOUR)
        ages = np.isin(age, GENERATIONS_HOURS) | ((age > GENERATIONS_HOURS[-1]) & (age % HALF_LIFE_HOURS == 0))
        self.silences.age(np.flatnonzero(ages))

    def _foretell(self, slot: int, start: float) -> None:
        """Set the rates and the pace of the hour of the week *slot*, which begins at *start*."""
        same = CALENDARS[:, [slot]] == CALENDARS
        watched = self.hours @ same.T
        arrived = self.arrivals @ same.T
        rate = (arrived[:, 0] + PRIOR_ARRIVALS) / np.maximum(watched[:, 0], 1e-9)
        rates = [rate]
        for level in range(1, len(CALENDARS)):
            rate = (PRIOR_ARRIVALS + arrived[:, level]) / (PRIOR_ARRIVALS / rate + watched[:, level])
            rates.append(rate)
        self.rates = np.stack(rates, axis=1)
        good = self.scores >= self.scores.max(axis=1, keepdims=True) - MARGIN
        finest = len(CALENDARS) - 1 - np.argmax(good[:, ::-1], axis=1)
        chosen = np.where(self._young(), 0, finest)
        pace = self.rates[np.arange(len(chosen)), chosen]
        self.pace = np.where(watched[:, 0] > 0.0, pace, 1.0) / HOUR
        self.known_until = np.where(watched[:, 2] > 0.0, start + HOUR, start)
