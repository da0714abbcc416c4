"""A two-sided mixture Shiryaev-Roberts e-detector with betting increments, as affine maps.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", arXiv 2203.03532: definition 2.2 (e-detector), proposition 2.4 (average run length).
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting",
arXiv 2010.09686, section 4 (capital processes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BETS = 6
# Lambda times the baseline's standard deviation. Larger bets would find a huge shift a few dozen observations
# sooner, and take every burst of alike traces for one: real prompts come in such bursts.
STANDARDISED_BETS: Floats = np.geomspace(0.05, 0.3, BETS)
LOSS_LIMIT = 0.6  # the share of its capital that a bet may lose on one observation
CHUNK = 64  # rows whose products stay far inside float64: 0.4**64 to 1200**64
SMALLEST_SD = 1e-3
SMALLEST_UPPER = 5e-4


@dataclass(frozen=True, slots=True)
class Wagers:
    """What is bet in each of S strata on each of C channels with values in [0, 1].

    Shapes: `lower`, `upper` (S, C), the null interval of the conditional mean;
    `up`, `down` (S, C, BETS), the stakes lambda against it. A bound that no mean can
    pass lies far outside of [0, 1].
    """

    lower: Floats
    upper: Floats
    up: Floats
    down: Floats

    @classmethod
    def against(cls, lower: Floats, upper: Floats, sd: Floats) -> Wagers:
        """Spread the stakes over the shifts worth catching, capped so that no capital reaches zero."""
        # With a bound at 0 or 1 itself a signal that keeps to it would win nothing and lose nothing, and e would
        # grow by one with each observation until it reached any threshold: such a bet must lose instead.
        upper = np.where(upper < 1.0, np.maximum(upper, SMALLEST_UPPER), 2.0)
        lower = np.where(lower > 0.0, np.minimum(lower, 1.0 - SMALLEST_UPPER), -1.0)
        wanted = STANDARDISED_BETS / np.maximum(sd, SMALLEST_SD)[..., None]
        up = np.minimum(wanted, LOSS_LIMIT / upper[..., None])
        down = np.minimum(wanted, LOSS_LIMIT / (1.0 - lower)[..., None])
        return cls(lower=lower, upper=upper, up=up, down=down)

    @property
    def components(self) -> int:
        return int(self.up.shape[1]) * 2 * BETS

    def increments(self, values: Floats, strata: Integers) -> Floats:
        """Return each bet's growth factor, shape (n, components), in the order channel, side, bet.

        *values* has shape (n, C); *strata* (n,) picks the row each observation bets against.
        """
        gain_up = (values - self.upper[strata])[..., None] * self.up[strata]
        gain_down = (self.lower[strata] - values)[..., None] * self.down[strata]
        return 1.0 + np.stack((gain_up, gain_down), axis=2).reshape(len(values), -1)


@dataclass(frozen=True, slots=True)
class AffineMap:
    """What a run of observations does to a detector: M -> M P + S, C -> max(C P, Q).

    All in logarithms, shape (components,). `onset` is the position, counted in the
    caller's own index, at which the product that makes Q begins.
    """

    log_p: Floats
    log_s: Floats
    log_q: Floats
    onset: Integers

    @classmethod
    def of(cls, increments: Floats, indices: Integers) -> AffineMap:
        """Return the map of at most CHUNK rows of growth factors, shape (n, components)."""
        from_here = np.cumprod(increments[::-1], axis=0)[::-1]  # the product of this row and all after it
        best = len(increments) - 1 - np.argmax(from_here[::-1], axis=0)  # the latest start on a tie
        return cls(
            log_p=np.log(from_here[0]),
            log_s=np.log(from_here.sum(axis=0)),
            log_q=np.log(np.take_along_axis(from_here, best[None], axis=0)[0]),
            onset=indices[best],
        )

    def then(self, later: AffineMap) -> AffineMap:
        """Compose: first this map, then *later*. Associative, so batches fold in any grouping."""
        carried = self.log_q + later.log_p
        return AffineMap(
            log_p=self.log_p + later.log_p,
            log_s=np.logaddexp(self.log_s + later.log_p, later.log_s),
            log_q=np.maximum(carried, later.log_q),
            onset=np.where(carried > later.log_q, self.onset, later.onset),
        )


@dataclass(frozen=True, slots=True)
class State:
    """A detector between two observations; shapes (components,)."""

    log_m: Floats  # Shiryaev-Roberts statistics
    log_c: Floats  # CUSUM statistics; they only date the change
    onset: Integers  # where each CUSUM's present run began

    @classmethod
    def empty(cls, components: int) -> State:
        nothing = np.full(components, -np.inf)
        return cls(log_m=nothing, log_c=nothing, onset=np.full(components, -1, dtype=np.int64))

    @property
    def log_e(self) -> float:
        return float(_log_mean(self.log_m[None])[0])

    def apply(self, step: AffineMap) -> State:
        carried = self.log_c + step.log_p
        return State(
            log_m=np.logaddexp(self.log_m + step.log_p, step.log_s),
            log_c=np.maximum(carried, step.log_q),
            onset=np.where(carried > step.log_q, self.onset, step.onset),
        )

    def to_bytes(self) -> bytes:
        return np.stack((self.log_m, self.log_c)).astype("<f8").tobytes() + self.onset.astype("<i8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        components = len(data) // 24
        floats = np.frombuffer(data, dtype="<f8", count=2 * components).reshape(2, components)
        onset = np.frombuffer(data, dtype="<i8", offset=16 * components)
        return cls(log_m=floats[0].copy(), log_c=floats[1].copy(), onset=onset.copy())


@dataclass(frozen=True, slots=True)
class Crossing:
    """The first observation at which the evidence reached a threshold.

    `row` counts the rows given to `fold`; `onset` is in the caller's index;
    `up` says on which side the evidence lies.
    """

    threshold: float
    row: int
    onset: int
    up: bool
    log_e: float


def fold(
    state: State, increments: Floats, indices: Integers, *, thresholds: tuple[float, ...] = ()
) -> tuple[State, list[Crossing]]:
    """Carry *state* over n observations and report the first crossing of each of *thresholds*.

    Parameters
    ----------
    increments : (n, components), from `Wagers.increments`, in the stream's order.
    indices : (n,), ascending; what a change point is dated in.
    thresholds : values of e not reached before; the average run length each guarantees.

    Guarantee
    ---------
    For every process whose conditional mean stays inside its stratum's null interval on
    every channel, the expected number of observations before e >= A is at least A. No
    independence and no variance model is assumed. Where the rows are cut into calls does
    not matter: crossings are sought at every observation, not at the ends of batches.
    """
    crossings: list[Crossing] = []
    waiting = sorted(thresholds)
    for start in range(0, len(increments), CHUNK):
        rows = increments[start : start + CHUNK]
        where = indices[start : start + CHUNK]
        if waiting and _peak_bound(state, rows) >= np.log(waiting[0]):
            found = _crossings(state, rows, where, waiting)
            crossings += [replace(crossing, row=crossing.row + start) for crossing in found]
            waiting = waiting[len(found) :]
        state = state.apply(AffineMap.of(rows, where))
    return state, crossings


def _peak_bound(state: State, rows: Floats) -> float:
    """Bound log e from above at every row of the chunk, without visiting them one by one."""
    products = np.cumprod(rows, axis=0)
    sums = products * np.cumsum(np.vstack((np.ones_like(rows[:1]), 1.0 / products[:-1])), axis=0)
    peak = np.logaddexp(state.log_m + np.log(products.max(axis=0)), np.log(sums.max(axis=0)))
    return float(_log_mean(peak[None])[0])


def _crossings(state: State, rows: Floats, indices: Integers, waiting: list[float]) -> list[Crossing]:
    products = np.cumprod(rows, axis=0)
    sums = products * np.cumsum(np.vstack((np.ones_like(rows[:1]), 1.0 / products[:-1])), axis=0)
    log_m = np.logaddexp(state.log_m + np.log(products), np.log(sums))
    log_e = _log_mean(log_m)
    found = []
    for threshold in waiting:
        over = np.flatnonzero(log_e >= np.log(threshold))
        if not len(over):
            break
        row = int(over[0])
        at = state.apply(AffineMap.of(rows[: row + 1], indices[: row + 1]))
        found.append(
            Crossing(
                threshold=threshold,
                row=row,
                onset=int(at.onset[np.argmax(log_m[row])]),
                up=_is_up(log_m[row]),
                log_e=float(log_e[row]),
            )
        )
    return found


def _is_up(log_m: Floats) -> bool:
    sides = log_m.reshape(-1, 2, BETS)
    return bool(np.logaddexp.reduce(sides[:, 0], axis=None) >= np.logaddexp.reduce(sides[:, 1], axis=None))


def _log_mean(log_m: Floats) -> Floats:
    highest = log_m.max(axis=1)
    safe = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(safe + np.log(np.exp(log_m - safe[:, None]).mean(axis=1)))
