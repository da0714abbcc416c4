"""An hour of production calls, without text: pages on traffic nobody changed, and the delay of lengths made longer.

Every 1,000th call is a start, in both directions of time, with a baseline of 2,000 and of 5,000
calls. A run without a change is watched to the hour's end. In the others the generated tokens
are multiplied from 1,000 calls after the baseline on, and at most 3,000 calls are waited for.
The delay counts the calls from the change to the first page on the length, in the change's
direction. A run that paged before the change is left out of it and counted; one that never
pages counts as an endless delay.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from msgspec import structs

from monitor.domain.trace import Trace
from tests.benchmarks.report import table
from tests.benchmarks.traffic.replay import DATA, Finding, Play, Played, middle

FILE = DATA / "production_traffic" / "azure_llm_2023_conv.csv.gz"
CALLS_BETWEEN_STARTS = 1_000
BASELINES = (2_000, 5_000)
DIRECTIONS = ("forward", "backward")
MIN_WATCHED = 2_000
QUIET = 1_000  # calls past the baseline before the change
LONGEST_WAIT = 3_000
FACTORS = (1.25, 1.5, 1 / 1.25, 1 / 1.5)
TARGET_PAGED = 0.2  # of the runs without a change
TARGET_DELAY = {1.25: 300.0, 1.5: 120.0}  # calls, at the median
NO_CHANGE = 1.0


def plays() -> list[Play]:
    return [
        Play(
            part="azure",
            name=f"{direction} from {start:,}, baseline {baseline:,}, x{factor:.3g}",
            baseline=baseline,
            traces=partial(calls, direction, start, baseline, factor),
            facts={"direction": direction, "start": start, "factor": factor},
        )
        for factor in (NO_CHANGE, *FACTORS)
        for baseline in BASELINES
        for direction in DIRECTIONS
        for start in range(0, len(hour(direction)) - baseline - MIN_WATCHED + 1, CALLS_BETWEEN_STARTS)
    ]


@cache
def hour(direction: str) -> tuple[Trace, ...]:
    """Return the hour's calls; backward, the last one comes first, and the gaps between them stay."""
    with gzip.open(FILE, "rt", newline="", encoding="utf-8") as lines:
        rows = [
            # A timestamp has seven digits of a second, one more than Python reads.
            (datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC), row)
            for row in csv.DictReader(lines)
        ]
    if direction == "backward":
        ends = rows[0][0], rows[-1][0]
        rows = [(ends[0] + (ends[1] - at), row) for at, row in reversed(rows)]
    return tuple(
        Trace(
            trace_id=f"call-{number}",
            timestamp=at,
            policy_model="assistant-1",
            response=None,
            input_tokens=int(row["ContextTokens"]),
            output_tokens=int(row["GeneratedTokens"]),
        )
        for number, (at, row) in enumerate(rows)
    )


def calls(direction: str, start: int, baseline: int, factor: float) -> Sequence[Trace]:
    """Return the calls from *start* on, made *factor* times as long from QUIET calls past the baseline on."""
    untouched = hour(direction)[start:]
    if factor == NO_CHANGE:
        return untouched
    change = baseline + QUIET
    longer = (
        structs.replace(trace, output_tokens=round((trace.output_tokens or 0) * factor))
        for trace in untouched[change : change + LONGEST_WAIT]
    )
    return (*untouched[:change], *longer)


@dataclass(frozen=True, slots=True)
class Delays:
    """What came of one change over some runs."""

    factor: float
    played: tuple[Played, ...]

    @property
    def pages(self) -> list[float]:
        """Return the delays of the runs that had not paged before, endless where no page came."""
        eligible = (item for item in self.played if not self.paged_before(item))
        return [self.delay(item) for item in eligible]

    @property
    def excluded(self) -> int:
        return len(self.played) - len(self.pages)

    def paged_before(self, item: Played) -> bool:
        first = item.length_page()
        return first is not None and first.after <= QUIET

    def delay(self, item: Played) -> float:
        page = item.length_page("up" if self.factor > 1 else "down", past=QUIET)
        return float("inf") if page is None else float(page.after - QUIET)

    def found(self) -> float | None:
        return sum(delay < float("inf") for delay in self.pages) / len(self.pages) if self.pages else None

    def row(self, name: str) -> list[object]:
        found = self.found()
        target = TARGET_DELAY.get(self.factor)
        return [
            f"x{self.factor:.3g}",
            name,
            len(self.played),
            self.excluded,
            "-" if found is None else f"{found:.0%}",
            middle(self.pages),
            "-" if target is None or name != "all" else f"<= {target:.0f}",
        ]


def judge(played: Sequence[Played]) -> Finding:
    quiet = [item for item in played if item.play.facts["factor"] == NO_CHANGE]
    changes = [
        Delays(factor, tuple(item for item in played if item.play.facts["factor"] == factor)) for factor in FACTORS
    ]
    headers = ("without a change", "runs", "paged", "", "first page after", "earliest", "warned or paged", "target")
    text = table(headers, [quiet_row(name, items) for name, items in groups(quiet)])
    columns = ("change", "runs of", "runs", "paged before", "found", "delay", "target")
    rows = [Delays(change.factor, items).row(name) for change in changes for name, items in groups(change.played)]
    failures = list(failed(quiet, changes))
    facts = {
        "paged": sum(item.page is not None for item in quiet) / len(quiet),
        "delays": {f"{change.factor:.3g}": middle(change.pages) for change in changes},
        "found": {f"{change.factor:.3g}": change.found() for change in changes},
    }
    return Finding(f"{text}\n\n{table(columns, rows)}", tuple(failures), facts)


def failed(quiet: Sequence[Played], changes: Sequence[Delays]) -> Iterator[str]:
    paged = [item for item in quiet if item.page is not None]
    if len(paged) > TARGET_PAGED * len(quiet):
        yield f"azure: {len(paged)} of {len(quiet)} runs without a change page; at most {TARGET_PAGED:.0%} may"
        yield from (f"azure: {item.name}: {item.page}" for item in paged)
    for change in changes:
        target, delay = TARGET_DELAY.get(change.factor), middle(change.pages)
        if target is not None and (delay is None or delay > target):
            shown = "not" if delay is None else f"after {delay:,.0f}"
            yield f"azure: x{change.factor:.3g} is found {shown} at the median; wanted after {target:.0f} or fewer"


def groups(played: Sequence[Played]) -> Iterator[tuple[str, tuple[Played, ...]]]:
    """Yield the runs of each baseline and direction, then all."""
    for baseline in BASELINES:
        for direction in DIRECTIONS:
            chosen = (baseline, direction)
            yield (
                f"{baseline:,} {direction}",
                tuple(item for item in played if (item.play.baseline, item.play.facts["direction"]) == chosen),
            )
    yield "all", tuple(played)


def quiet_row(name: str, played: Sequence[Played]) -> list[Any]:
    pages = [item.page for item in played if item.page is not None]
    alarms = sum(bool(item.alarms) for item in played)
    after = [float(page.after) for page in pages]
    share = f"{len(pages) / len(played):.0%}"
    wanted = f"<= {TARGET_PAGED:.0%}" if name == "all" else "-"
    return [name, len(played), len(pages), share, middle(after), min(after, default=None), alarms, wanted]
