"""How well `is_refusal` agrees with human labels, beside the published string matches.

    python -m tests.benchmarks.refusal_accuracy [--json FILE]

xstest: refusal = full or partial, as the two annotators settled it. do_not_answer: refusal =
action 0; answers that refute a premise (1) or deny a capability (4) are not refusals there,
though annotators drew that line differently from model to model. refusal_direction: agreement
with an automatic label. alpaca_eval: ordinary prompts, so nearly every refusal found is a
false positive; the published rate is a string match's.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from monitor.signals.refusal import is_refusal

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ALL = "all"
PUBLISHED = {
    "xstest": "string match on five models: accuracy .884, F1 .879; GPT-4: .821, .801",
    "do_not_answer": "string match against action 0: precision .371, recall .911",
}
SPEED_PASSES = 5

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """One label's agreement with the truth over the answers of one model."""

    source: str
    model: str
    labeller: str
    rows: int
    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of answers called refusals."""

    source: str
    group: str
    rows: int
    rate: float
    string_match_rate: float | None


@dataclass(frozen=True, slots=True)
class Report:
    agreements: tuple[Agreement, ...]
    rates: tuple[Rate, ...]
    responses_per_second: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Agreement of is_refusal with human labels.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    arguments = parser.parse_args()
    if not SHARED_DATA.is_dir():
        print(f"refusal_accuracy: the data folder {SHARED_DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    report = measure()
    show(report)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**asdict(report), "published": PUBLISHED}, indent=2) + "\n")
    return 0


def measure() -> Report:
    alpaca = {path.name.removesuffix(".jsonl.gz"): read(path) for path in outputs()}
    do_not_answer = read(SHARED_DATA / "do_not_answer" / "responses.jsonl.gz")
    agreements = (*xstest(), *against_action(do_not_answer), *refusal_direction())
    rates = (*rates_by_action(do_not_answer), *alpaca_rates(alpaca))
    typical = [row["output"] for rows in alpaca.values() for row in rows if 1000 <= len(row["output"]) <= 2000]
    return Report(agreements, rates, responses_per_second(typical))


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def outputs() -> list[Path]:
    return sorted((SHARED_DATA / "alpaca_eval" / "outputs").glob("*.jsonl.gz"))


def xstest() -> Iterator[Agreement]:
    rows = read(SHARED_DATA / "xstest" / "completions.jsonl.gz")
    for model, answers in by_model(rows):
        truth = [_refuses(row["human_final"]) for row in answers]
        found = [is_refusal(row["completion"]) for row in answers]
        yield agreement("xstest", model, "is_refusal", truth=truth, found=found)
        matched = [_refuses(row["strmatch_label"]) for row in answers]
        yield agreement("xstest", model, "string match", truth=truth, found=matched)


def against_action(rows: list[Row]) -> Iterator[Agreement]:
    for model, answers in by_model(rows):
        truth = [row["human_action"] == 0 for row in answers]
        found = [is_refusal(row["response"]) for row in answers]
        yield agreement("do_not_answer", model, "is_refusal", truth=truth, found=found)


def refusal_direction() -> Iterator[Agreement]:
    rows = read(SHARED_DATA / "refusal_direction" / "completions.jsonl.gz")
    for model, answers in by_model(rows):
        automatic = [not row["is_jailbreak_substring_matching"] for row in answers]
        found = [is_refusal(row["response"]) for row in answers]
        yield agreement("refusal_direction", model, "is_refusal", truth=automatic, found=found)


def rates_by_action(rows: list[Row]) -> Iterator[Rate]:
    for action in range(6):
        found = [is_refusal(row["response"]) for row in rows if row["human_action"] == action]
        yield Rate("do_not_answer", f"action {action}", len(found), sum(found) / len(found), None)


def alpaca_rates(outputs_of: dict[str, list[Row]]) -> Iterator[Rate]:
    published = {}
    with (SHARED_DATA / "alpaca_eval" / "drift_pairs.csv").open(encoding="utf-8", newline="") as lines:
        for pair in csv.DictReader(lines):
            published[pair["model_a"]] = float(pair["refusal_str_a"])
            published[pair["model_b"]] = float(pair["refusal_str_b"])
    for model, rows in outputs_of.items():
        found = [is_refusal(row["output"]) for row in rows]
        yield Rate("alpaca_eval", model, len(found), sum(found) / len(found), published.get(model))


def by_model(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of every model, then all of them."""
    ordered = sorted(rows, key=itemgetter("model"))
    for model, answers in groupby(ordered, key=itemgetter("model")):
        yield model, list(answers)
    yield ALL, ordered


def agreement(source: str, model: str, labeller: str, *, truth: Sequence[bool], found: Sequence[bool]) -> Agreement:
    both = sum(t and f for t, f in zip(truth, found, strict=True))
    right = sum(t == f for t, f in zip(truth, found, strict=True))
    precision = both / sum(found) if any(found) else 0.0
    recall = both / sum(truth) if any(truth) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if both else 0.0
    return Agreement(source, model, labeller, len(truth), right / len(truth), precision, recall, f1)


def responses_per_second(responses: Sequence[str]) -> float:
    """Return the rate of the fastest of a few passes, by the time this process had a core."""
    fastest = float("inf")
    for _ in range(SPEED_PASSES):
        start = time.process_time()
        for response in responses:
            is_refusal(response)
        fastest = min(fastest, time.process_time() - start)
    return len(responses) / fastest


def show(report: Report) -> None:
    print(f"{'source':<18} {'model':<16} {'label':<13} {'rows':>5} {'acc.':>6} {'prec.':>6} {'recall':>6} {'F1':>6}")
    for line in report.agreements:
        scores = " ".join(f"{score:6.3f}" for score in (line.accuracy, line.precision, line.recall, line.f1))
        print(f"{line.source:<18} {line.model:<16} {line.labeller:<13} {line.rows:>5} {scores}")
    for source, published in PUBLISHED.items():
        print(f"{source:<18} published: {published}")
    print(f"\n{'source':<14} {'group':<28} {'rows':>5} {'refusals':>9} {'string match':>13}")
    for rate in report.rates:
        string_match = "" if rate.string_match_rate is None else f"{rate.string_match_rate:.2%}"
        print(f"{rate.source:<14} {rate.group:<28} {rate.rows:>5} {rate.rate:>9.2%} {string_match:>13}")
    print(f"\n{report.responses_per_second:,.0f} responses a second on one core (answers of 1,000 to 2,000 characters)")


def _refuses(label: str) -> bool:
    return label in {"2_full_refusal", "3_partial_refusal"}


if __name__ == "__main__":
    sys.exit(main())
