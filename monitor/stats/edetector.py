"""A two-sided mixture Shiryaev-Roberts e-detector with betting increments, as affine maps.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", arXiv 2203.03532: definition 2.2 (e-detector), proposition 2.4 (average run length).
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting",
arXiv 2010.09686, section 4 (capital processes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BETS = 6
STANDARDISED_BETS: Floats = np.geomspace(0.05, 0.5, BETS)  # lambda times the baseline's standard deviation
LOSS_LIMIT = 0.6  # the share of its capital that a bet may lose on one observation
CHUNK = 64  # rows whose products stay far inside float64 whatever was bet: 0.4**64 to 1200**64
LONGEST_CHUNK = 1024  # rows taken at once where the growth factors allow it
LOG_RANGE = 460.0  # of the products within a chunk, either way; float64 ends at 709
SMALLEST_SD = 1e-3
SMALLEST_UPPER = 5e-4


@dataclass(frozen=True, slots=True)
class NullIntervals:
    """Where each of n observations' conditional mean lies if nothing has changed.

    Shapes: `lower`, `upper` (n, T, C) for T tiers, from the narrowest question to the widest, and C
    channels with values in [0, 1]; a bound that no mean can pass may lie outside. `sd` (n, C) is the
    spread about the mean that sets the stakes; `stakes` (n,), 0 to 1, is the share of them that is
    placed. Where values may lie outside of [0, 1], `beyond` (n,) says how far, on either side. All of it
    must be known before the observation is.
    """

    lower: Floats
    upper: Floats
    sd: Floats
    stakes: Floats
    beyond: Floats | None = None  # None: nowhere

    def __len__(self) -> int:
        return len(self.stakes)

    def rows(self, chosen: slice) -> NullIntervals:
        beyond = None if self.beyond is None else self.beyond[chosen]
        return NullIntervals(self.lower[chosen], self.upper[chosen], self.sd[chosen], self.stakes[chosen], beyond)

    def increments(self, values: Floats) -> Floats:
        """Return each bet's growth factor for *values* (n, C): shape (n, T * C * 2 * BETS).

        The order is tier, channel, side (up, down), bet. The stakes are spread over the shifts worth
        catching, capped so that no capital reaches zero.
        """
        # With a bound at 0 or 1 itself a signal that keeps to it would win nothing and lose nothing, and e would
        # grow by one with each observation until it reached any threshold: such a bet must lose instead.
        upper = np.where(self.upper < 1.0, np.maximum(self.upper, SMALLEST_UPPER), 2.0)[..., None]
        lower = np.where(self.lower > 0.0, np.minimum(self.lower, 1.0 - SMALLEST_UPPER), -1.0)[..., None]
        wanted = (STANDARDISED_BETS / np.maximum(self.sd, SMALLEST_SD)[..., None])[:, None]
        seen, placed = values[:, None, :, None], self.stakes[:, None, None, None]
        beyond = 0.0 if self.beyond is None else self.beyond[:, None, None, None]
        gains = np.empty((*self.upper.shape, 2, BETS))
        gains[..., 0, :] = np.minimum(wanted, LOSS_LIMIT / (upper + beyond)) * (seen - upper)
        gains[..., 1, :] = np.minimum(wanted, LOSS_LIMIT / (1.0 + beyond - lower)) * (lower - seen)
        gains *= placed[..., None]
        gains += 1.0
        return gains.reshape(len(values), -1)


def component_weights(channels: Sequence[float], tiers: int) -> Floats:
    """Return each component's weight in its tier's evidence, in the order of `NullIntervals.increments`."""
    share = np.asarray(channels, dtype=np.float64) / sum(channels)
    return np.tile(np.repeat(share / (2 * BETS), 2 * BETS), tiers)


@dataclass(frozen=True, slots=True)
class _Products:
    """Products over the rows of a chunk, shapes (n, components).

    With P_k = b_1 ... b_k the product of the rows j..k is P_k / P_(j-1), so P and its
    inverses hold every product that a run of observations needs.
    """

    upto: Floats  # P_k
    inverse_before: Floats  # 1 / P_(k-1), which is 1 in the first row
    starts: Floats  # (n, 1): what is placed anew at each row, 0 to 1

    @classmethod
    def of(cls, increments: Floats, starts: Floats) -> _Products:
        upto = np.asarray(np.cumprod(increments, axis=0), dtype=np.float64)
        inverse_before = np.ones_like(upto)
        np.divide(1.0, upto[:-1], out=inverse_before[1:])
        return cls(upto, inverse_before, starts[:, None])

    def first(self, rows: int) -> _Products:
        return _Products(self.upto[:rows], self.inverse_before[:rows], self.starts[:rows])

    def sums(self) -> Floats:
        """Return at each row k the sum over j <= k of the products of the rows j..k, each by what was placed at j."""
        return np.asarray(self.upto * np.cumsum(self.inverse_before * self.starts, axis=0))


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
        return cls.over(_Products.of(increments, np.ones(len(increments))), indices)

    @classmethod
    def over(cls, products: _Products, indices: Integers) -> AffineMap:
        starts = products.inverse_before
        best = len(starts) - 1 - np.argmax(starts[::-1], axis=0)  # the latest start on a tie
        log_p = np.log(products.upto[-1])
        return cls(
            log_p=log_p,
            log_s=log_p + _log((starts * products.starts).sum(axis=0)),
            log_q=log_p + np.log(np.take_along_axis(starts, best[None], axis=0)[0]),
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

    def log_e(self, log_weights: Floats, tiers: int) -> Floats:
        """Return the logarithm of each tier's evidence, (T,)."""
        return np.asarray(_log_evidence(self.log_m[None], log_weights, tiers)[0])

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
class Threshold:
    """A value of e, and the caller's name of it."""

    name: str
    e: float  # the average run length that it guarantees
    tier: int = 0  # whose evidence must reach it


@dataclass(frozen=True, slots=True)
class Crossing:
    """The first observation at which the evidence reached a threshold.

    `row` counts the rows given to `fold`; `onset` is in the caller's index;
    `up` says on which side the evidence lies, `channel` which channel's best bet won most.
    """

    threshold: Threshold
    row: int
    onset: int
    up: bool
    channel: int
    log_e: float


def fold(
    state: State,
    increments: Floats,
    indices: Integers,
    *,
    weights: Floats,
    tiers: int = 1,
    thresholds: Sequence[Threshold] = (),
    starts: Floats | None = None,
) -> tuple[State, list[Crossing]]:
    """Carry *state* over n observations and report the first crossing of each of *thresholds*.

    Parameters
    ----------
    increments : (n, components), from `NullIntervals.increments`, in the stream's order.
    indices : (n,), ascending; what a change point is dated in.
    weights : (components,), each component's weight in its tier's evidence.
    thresholds : those that were not reached before.
    starts : (n,), 0 to 1, what is placed anew at each observation, known before it: `NullIntervals.stakes`.
        Where nothing is staked nothing is learned, so the evidence must not grow either. None: 1 throughout.

    Guarantee
    ---------
    For every process whose conditional mean stays inside a tier's null interval on every
    channel, the expected number of observations before that tier's e >= A is at least A. No
    independence and no variance model is assumed. Where the rows are cut into calls does
    not matter: crossings are sought at every observation, not at the ends of batches.
    """
    crossings: list[Crossing] = []
    waiting = list(thresholds)
    log_weights = np.log(weights)
    placed = np.ones(len(increments)) if starts is None else starts
    size = CHUNK  # rows whose products surely stay inside float64: more where the increments are small
    if len(increments) > CHUNK:
        steepest = max(float(np.log(increments.max())), -float(np.log(increments.min())), LOG_RANGE / LONGEST_CHUNK)
        size = max(CHUNK, int(LOG_RANGE / steepest))
    for start in range(0, len(increments), size):
        products = _Products.of(increments[start : start + size], placed[start : start + size])
        where = indices[start : start + size]
        found = _crossings(state, products, where, waiting, log_weights=log_weights, tiers=tiers) if waiting else []
        crossings += [replace(crossing, row=crossing.row + start) for crossing in found]
        reached = {crossing.threshold for crossing in found}
        waiting = [threshold for threshold in waiting if threshold not in reached]
        state = state.apply(AffineMap.over(products, where))
    return state, sorted(crossings, key=lambda crossing: crossing.row)


def _crossings(
    state: State,
    products: _Products,
    indices: Integers,
    waiting: Sequence[Threshold],
    *,
    log_weights: Floats,
    tiers: int,
) -> list[Crossing]:
    """Return the first crossings of the thresholds, as far as they are reached."""
    sums = products.sums()
    # A bound of log e on all the rows at once: most chunks need not be looked at row by row.
    peak = np.logaddexp(state.log_m + np.log(products.upto.max(axis=0)), _log(sums.max(axis=0)))
    bound = _log_evidence(peak[None], log_weights, tiers)[0]
    possible = [threshold for threshold in waiting if bound[threshold.tier] >= np.log(threshold.e)]
    if not possible:
        return []
    log_m = np.logaddexp(state.log_m + np.log(products.upto), _log(sums))
    log_e = _log_evidence(log_m, log_weights, tiers)
    found = []
    for threshold in possible:
        over = np.flatnonzero(log_e[:, threshold.tier] >= np.log(threshold.e))
        if not len(over):
            continue
        row = int(over[0])
        at = state.apply(AffineMap.over(products.first(row + 1), indices[: row + 1]))
        size = log_m.shape[1] // tiers
        part = slice(threshold.tier * size, (threshold.tier + 1) * size)
        won = log_m[row, part] + log_weights[part]
        best = int(np.argmax(won))
        up, down = np.logaddexp.reduce(won.reshape(-1, 2, BETS), axis=(0, 2))
        found.append(
            Crossing(
                threshold=threshold,
                row=row,
                onset=int(at.onset[part][best]),
                up=bool(up >= down),
                channel=best // (2 * BETS),
                log_e=float(log_e[row, threshold.tier]),
            )
        )
    return found


def _log(values: Floats) -> Floats:
    """Return the logarithm, -inf of 0 without a word."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _log_evidence(log_m: Floats, log_weights: Floats, tiers: int) -> Floats:
    """Return the logarithm of each tier's weighted mean, (n, T)."""
    weighted = (log_m + log_weights).reshape(len(log_m), tiers, -1)
    highest = weighted.max(axis=2)
    safe = np.where(np.isfinite(highest), highest, 0.0)
    return safe + _log(np.exp(weighted - safe[..., None]).sum(axis=2))


@dataclass(frozen=True, slots=True)
class EDetector:
    """What follows a stream: bets against its null intervals, folded by `fold`; holds no state of its own."""

    channels: tuple[float, ...]  # the weight of each channel
    tiers: int = 1

    @property
    def weights(self) -> Floats:
        return component_weights(self.channels, self.tiers)

    def empty(self) -> State:
        return State.empty(self.tiers * len(self.channels) * 2 * BETS)

    def load(self, data: bytes) -> State:
        return State.from_bytes(data)

    def log_e(self, evidence: State) -> Floats:
        """Return the logarithm of each tier's evidence, (T,)."""
        return evidence.log_e(np.log(self.weights), self.tiers)

    def bets(self, channels: Floats, null: NullIntervals) -> Floats:
        """Return each bet's growth factor for observations (n, C): shape (n, components)."""
        return null.increments(channels)

    def fold(
        self,
        evidence: State,
        bets: Floats,
        *,
        places: Integers,
        stakes: Floats | None = None,
        thresholds: Sequence[Threshold] = (),
    ) -> tuple[State, list[Crossing]]:
        return fold(
            evidence, bets, places, weights=self.weights, tiers=self.tiers, thresholds=thresholds, starts=stakes
        )
