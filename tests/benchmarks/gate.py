"""How often the gate stops a policy that is as good as the champion, and lets through one that is worse.

    python -m tests.benchmarks.gate [--runs 2000] [--replay 200] [--probes 100] [--json FILE]

Answers are drawn, not generated, and each candidate is worse in one thing at most. What is drawn is measured and
judged by the program's own code with its default margins. `alike`: nine outcomes in ten come to the same for both, and
the rest anew, as greedy answers of a lightly trained policy do. `changed`: seven in ten. `redrawn`: every outcome is
drawn anew, as if each prompt were as likely as any other to be refused, and answered at temperature 1: no equal
candidate can differ more.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.domain.job import Check
from monitor.retraining.gate.measure import RULES
from monitor.retraining.gate.policy import judge
from monitor.settings.policy import PolicyGateSettings
from monitor.settings.retrain import GateSettings
from tests.benchmarks.gate_population import Population, draw

SEED = 9
COPIED = {"alike": 0.9, "changed": 0.7, "redrawn": 0.0}
TIMES = (0.5, 1.0, 2.0)  # margins by which a candidate is worse
EQUAL, CAPABILITY = "equal", "capability"
MOST_REASONS = 12


@dataclass(frozen=True, slots=True)
class Line:
    """How candidates of one kind fare."""

    answers: str
    measure: str  # what is worse; `EQUAL`: nothing
    worse_by: float  # margins
    runs: int
    passed: float  # share, of the whole gate
    passed_measure: float  # of the measure's own check; of `EQUAL`, of all checks but `CAPABILITY`
    stopped_by: Mapping[str, float]  # share, by check; the most frequent first


def main() -> int:
    parser = argparse.ArgumentParser(description="What the policy gate lets through, by simulation.")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--replay", type=int, default=200)
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the lines as JSON")
    arguments = parser.parse_args()
    lines = []
    for answers, copied in COPIED.items():
        population = Population(replay=arguments.replay, probes=arguments.probes, copied=copied)
        lines.append(play(population, answers, runs=arguments.runs))
        show(lines[-1])
        for measure in RULES:
            for times in TIMES:
                lines.append(play(population, answers, measure=measure, times=times, runs=arguments.runs // 8))
                show(lines[-1])
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    return 0


def play(population: Population, answers: str, *, measure: str = EQUAL, times: float = 0.0, runs: int) -> Line:
    """Judge *runs* candidates that are worse in *measure* by so many of its margins."""
    margins = GateSettings()
    worse = {} if measure == EQUAL else {measure: times * margin_of(measure, margins.policy)}
    failed: Counter[str] = Counter()
    passed = own = 0
    for number in range(runs):
        checks = judge(draw(population, worse, seed=(SEED, number)), margins)
        stopped = [check.name for check in checks if not check.passed]
        failed.update(stopped)
        passed += not stopped
        own += not any(_is_own(check, measure) for check in checks if not check.passed)
    shares = {name: count / runs for name, count in failed.most_common(30)}
    return Line(answers, measure, times, runs, passed / runs, own / runs, shares)


def margin_of(measure: str, wanted: PolicyGateSettings) -> float:
    """Return the margin of a measure, signed the way that is worse, in its own unit."""
    bound = RULES[measure].bounds(wanted, 1.0)[0]
    stated = bound.middle if measure in {"win_rate_human", CAPABILITY} else bound.end
    return stated if bound.rising else -stated


def _is_own(check: Check, measure: str) -> bool:
    return check.name != CAPABILITY if measure == EQUAL else check.name == measure


def show(line: Line) -> None:
    if line.measure == EQUAL:
        print(
            f"{line.answers}, equal: {line.passed:.1%} pass; {line.passed_measure:.1%} but for {CAPABILITY}; stopped by"
        )
        for name, share in list(line.stopped_by.items())[:MOST_REASONS]:
            print(f"    {name} {share:.1%}")
    else:
        told = f"{line.passed:.1%} pass; {line.passed_measure:.1%} by this measure alone"
        print(f"{line.answers}, {line.measure} worse by {line.worse_by:g} margins: {told}")


if __name__ == "__main__":
    raise SystemExit(main())
