"""Real traffic through the backtest: does it page for the prompts, and does it still find the model's change?

    python -m tests.benchmarks.real_traffic [--only azure,self,swaps,torture] [--jobs N] [--json FILE]

Every run goes through `monitor.offline.backtest.backtest`, as `rlhf-monitor backtest` does, with
A = 10,000 and nothing else set. A page is an alarm of severity `alert`, on any signal; `after`
counts traces past the baseline. What is replayed, part by part:

- azure: an hour of production calls (traffic/azure.py)
- self: AlpacaEval's models against themselves, in prompt order (traffic/chat.py)
- swaps: AlpacaEval's swaps, in prompt order and shuffled (traffic/chat.py)
- torture: the same model on other prompts (traffic/mix.py)

Exit code 1, with the rows named, where a target is missed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.report import machine, options, table, write_json
from tests.benchmarks.traffic import azure, chat, mix
from tests.benchmarks.traffic.replay import DATA, Finding, Play, Played, replay_all


@dataclass(frozen=True, slots=True)
class Part:
    plays: Callable[[], list[Play]]
    judge: Callable[[Sequence[Played]], Finding]


PARTS = {
    "azure": Part(azure.plays, azure.judge),
    "self": Part(chat.self_plays, chat.judge_self),
    "swaps": Part(chat.swap_plays, chat.judge_swaps),
    "torture": Part(mix.plays, mix.judge),
}


def main() -> int:
    parser = options("Real traffic through the backtest.")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run, with commas between them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"--only: unknown part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if not DATA.is_dir():
        print(f"real_traffic: the data folder {DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    failures: list[str] = []
    report: dict[str, object] = {}
    timings: list[tuple[str, int, int, float]] = []
    for name in chosen:
        started = time.monotonic()
        played = replay_all(PARTS[name].plays(), jobs=arguments.jobs)
        finding = PARTS[name].judge(played)
        timings.append((name, len(played), sum(item.watched for item in played), time.monotonic() - started))
        print(f"== {name}\n\n{finding.text}\n", flush=True)
        failures += finding.failures
        report[name] = {"summary": finding.facts, "runs": [item.as_json() for item in played]}
    print(table(("part", "runs", "traces watched", "seconds"), timings))
    print(f"{arguments.jobs} processes on {machine()}")
    print("\n".join(["", "NOT AS IT MUST BE:", *failures]) if failures else "\neverything as it must be")
    write_json(arguments.json, report | {"failures": failures, "machine": machine()})
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
