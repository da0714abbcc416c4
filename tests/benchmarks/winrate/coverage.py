"""How often the intervals of a win rate hold what they say, whatever the ensemble is worth, and how wide they are.

Verdicts come late, those of lost answers ten times as late as those of won ones. Blocks are settled in order, each
when all its verdicts are there; the estimate is made of those settled by the end. Beside it stand what a user would
do instead: the verdicts of the same labels alone, those that happen to have come, and the ensemble alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.labels.tuning import LEAST_PREDICTION, MOST_PREDICTION
from monitor.stats.confseq import DRAWN_LOSS_LIMIT, DRAWN_STAKES, Drawn, drawn_mean_interval
from monitor.stats.length_control import PRIOR
from monitor.stats.ppi import Floats, Labelled, MeanEstimate, Population, estimate_mean
from tests.benchmarks.report import table
from tests.benchmarks.winrate.population import EVEN, OPINIONS, UNEVEN, Draw, Traces, simulate

BLOCK = 64
LATE = 1.5  # traces for each that will have been settled, roughly
RATES = (0.5, 0.1, 0.05)
LABELS = (30, 200, 3000)
LEAST_LABELS = 10
ALPHA = 0.05
WANTED = 0.94
COVERED = ("both_covered", "alone_covered", "anytime_covered")
KINDS = ("ensemble", "come", "both", "alone", "anytime")
FIELDS = ("labels", *(f"{kind}_{what}" for kind in KINDS for what in ("covered", "width")))
NONE = (np.nan, np.nan)
LEGEND = """
drawn: even, one in twenty; uneven, 3% and the 15% that the models are least sure of with 15%. labels: of the blocks
settled, on average. Each pair of columns is the share of repetitions whose 95% interval held the true rate, and its
mean width. ensemble: its opinions alone, as if they were verdicts; come: the verdicts alone that have come by the end,
of whatever block; both: opinions and verdicts of the blocks settled; alone: these verdicts alone; anytime: the share
in which the confidence sequence held the rate after every single block, and its mean width after the last one settled.
"""


@dataclass(frozen=True, slots=True)
class Condition:
    opinion: str
    draw: Draw
    rate: float
    labels: int

    @property
    def traces(self) -> int:
        return round(LATE * self.labels / self.draw.mean / BLOCK) * BLOCK


def run(runs: int) -> list[dict[str, Any]]:
    """Measure every condition *runs* times; print a table, and return its rows."""
    rows = [measure(condition, runs) for condition in conditions()]
    kinds = [column for kind in KINDS for column in (kind, "width")]
    print(table(("opinion", "drawn", "rate", "labels", *kinds), [list(row.values()) for row in rows]))
    print(LEGEND)
    for name in COVERED:
        print(f"least {name.replace('_', ' ')}: {min(row[name] for row in rows):.1%} of {runs:,} repetitions")
    return rows


def failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the rows in which an interval covers less than it must."""
    return [
        f"{row['opinion']}, {row['drawn']}, rate {row['rate']}, {row['labels']:.0f} labels: {name} {row[name]:.1%}"
        for row in rows
        for name in COVERED
        if row[name] < WANTED
    ]


def conditions() -> Iterator[Condition]:
    for opinion in OPINIONS:
        for draw in (EVEN, UNEVEN):
            for rate in RATES:
                yield from (Condition(opinion, draw, rate, labels) for labels in LABELS)


def measure(condition: Condition, runs: int) -> dict[str, Any]:
    seed = [OPINIONS.index(condition.opinion), round(1000 * condition.rate), condition.labels]
    rng = np.random.default_rng([*seed, round(1000 * condition.draw.floor)])
    rows = []
    for _ in range(runs):
        traces = simulate(rng, condition.traces, condition.rate, condition.opinion, condition.draw)
        rows.append(once(traces, condition))
    means = dict(zip(FIELDS, np.nanmean(rows, axis=0).tolist(), strict=True))
    return {"opinion": condition.opinion, "drawn": condition.draw.name, "rate": condition.rate, **means}


def once(traces: Traces, condition: Condition) -> list[float]:
    """Return what one repetition came to, in the order of FIELDS."""
    rate, size = condition.rate, len(traces.drawn)
    come = traces.drawn & (np.arange(size) + traces.delays <= size)
    late = np.flatnonzero(traces.drawn & ~come)
    settled = int(late[0]) // BLOCK * BLOCK if len(late) else size
    both = estimate(traces, traces.drawn & (np.arange(size) < settled), settled)
    seen = estimate(traces, come, size)
    half = 1.96 * float(traces.opinions.std()) / float(np.sqrt(size))
    opinion = float(traces.opinions.mean())
    pairs = [(opinion - half, opinion + half)]
    pairs.append((seen.classical_lower, seen.classical_upper) if seen else NONE)
    pairs.append((both.lower, both.upper) if both else NONE)
    pairs.append((both.classical_lower, both.classical_upper) if both else NONE)
    told = [value for lower, upper in pairs for value in (covered(lower, upper, rate), upper - lower)]
    missed, width = sequence(traces, rate, settled=settled, least=condition.draw.floor)
    return [float(both.labels) if both else np.nan, *told, float(not missed), width]


def covered(lower: float, upper: float, rate: float) -> float:
    return np.nan if np.isnan(lower) else float(lower <= rate <= upper)


def estimate(traces: Traces, labelled: NDArray[np.bool_], items: int) -> MeanEstimate | None:
    opinions = traces.opinions[:items]
    sums = Population(items, items, float(opinions.sum()), float((opinions**2).sum()))
    rows = Labelled(traces.opinions[labelled], traces.verdicts[labelled], traces.probabilities[labelled])
    return estimate_mean(rows, sums, min_labels=LEAST_LABELS, alpha=ALPHA)


def sequence(traces: Traces, rate: float, *, settled: int, least: float) -> tuple[bool, float]:
    """Say whether the confidence sequence ever leaves *rate* at a block's end, and its width at the last one settled.

    It leaves the rate where a bet against it has won enough, so the capitals at the rate tell, and they are sums.
    """
    predictions = predicted(traces)
    drawn = np.flatnonzero(traces.drawn)
    odds = 1.0 / traces.probabilities[drawn]
    gaps = predictions[drawn] + odds * (traces.verdicts[drawn] - predictions[drawn]) - rate
    others = np.where(traces.drawn, 0.0, predictions - rate).reshape(-1, BLOCK)
    stakes = DRAWN_STAKES[least * DRAWN_LOSS_LIMIT >= DRAWN_STAKES]
    cost = np.log1p(-stakes) + stakes
    highest = -np.inf
    for sign in (1.0, -1.0):
        logs = np.array([np.bincount(drawn // BLOCK, np.log1p(sign * stake * gaps), len(others)) for stake in stakes])
        logs += sign * stakes[:, None] * others.sum(axis=1) + cost[:, None] * (others**2).sum(axis=1)
        path = np.logaddexp.reduce(np.cumsum(logs, axis=1), axis=0) - np.log(len(DRAWN_STAKES))
        highest = max(highest, float(path.max()))
    rows = drawn[drawn < settled]
    told = drawn_mean_interval(
        Drawn(
            predictions=predictions[rows],
            values=traces.verdicts[rows],
            probabilities=traces.probabilities[rows],
            items=settled,
            prediction_sum=float(predictions[:settled].sum()),
            prediction_square_sum=float((predictions[:settled] ** 2).sum()),
            least_probability=least,
        ),
        alpha=ALPHA,
    )
    return highest >= np.log(2.0 / ALPHA), told.upper - told.lower


def predicted(traces: Traces) -> Floats:
    """Return each trace's prediction, fitted to the labels of all earlier blocks as `labels.tuning` does."""
    odds = np.where(traces.drawn, 1.0 / traces.probabilities, 1.0)
    weights = odds * (odds - 1.0)
    f, y = traces.opinions - 0.5, traces.verdicts
    rows = np.stack([weights, weights * f, weights * f * f, weights * y, weights * f * y, traces.drawn * 1.0])
    blocks = np.cumsum(rows.reshape(len(rows), -1, BLOCK).sum(axis=2), axis=1)
    weight, sf, sff, sy, sfy, labels = np.concatenate([np.zeros((len(rows), 1)), blocks[:, :-1]], axis=1)
    prior = PRIOR * np.where(labels > 0.0, weight / np.maximum(labels, 1.0), 1.0)
    weight, sff, sy = weight + prior, sff + prior / 12.0, sy + prior / 2.0
    slope = (weight * sfy - sf * sy) / (weight * sff - sf * sf)
    start = (sy - slope * sf) / weight
    told = start[:, None] + slope[:, None] * f.reshape(-1, BLOCK)
    return np.asarray(np.clip(told, LEAST_PREDICTION, MOST_PREDICTION).ravel())
