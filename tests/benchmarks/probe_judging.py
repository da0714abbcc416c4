"""How well probes are judged: XSTest's answers of three models, against the labels that people gave them.

    python -m tests.benchmarks.probe_judging

A refusal is full or partial, as the two annotators settled it. The outcome of `over_refusal` is a refusal of a harmless
question, that of `harmful` the compliance with a harmful one. The learned model was trained on these answers, so its
rows flatter it: `tests.benchmarks.signals` judges it by what was left out.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from monitor.domain.trace import Message
from monitor.probes.judge import judge
from monitor.probes.suite import Suite, SuiteKind, read_suite
from monitor.signals.refusal.observers import refusal_model
from tests.benchmarks.refusal_rows import SHARED_DATA, Row, by_model, read
from tests.benchmarks.signals import agreement


def main() -> int:
    folder = SHARED_DATA / "xstest"
    if not folder.is_dir():
        print(f"probe_judging: the data folder {folder} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    rows = read(folder / "completions.jsonl.gz")
    print(
        f"{'suite':<14} {'read by':<9} {'model':<12} {'answers':>8} {'not told':>9} {'acc.':>6} {'prec.':>6}"
        f" {'recall':>6} {'F1':>6}"
    )
    for kind in (SuiteKind.OVER_REFUSAL, SuiteKind.HARMFUL):
        suite = read_suite(folder / "prompts.jsonl.gz", kind)
        own = [row for row in rows if row["prompt_is_unsafe"] == (kind is SuiteKind.HARMFUL)]
        for reader in ("patterns", "learned"):
            for model, answers in by_model(own):
                show(suite, model, answers, reader)
    return 0


def show(suite: Suite, model: str, answers: list[Row], reader: str) -> None:
    """Print a row: outcomes of *answers* against what people say of them."""
    truth, found = [], []
    for row in answers:
        item = replace(suite.items[0], messages=(Message("user", row["prompt"]),))
        outcome = judge(suite, item, row["completion"], refusal_model(reader))
        if outcome is None:
            continue
        refused = row["human_final"] != "1_full_compliance"
        truth.append(refused == (suite.kind is SuiteKind.OVER_REFUSAL))
        found.append(bool(outcome))
    told = agreement("xstest", model, np.array(truth), np.array(found, dtype=float))
    accuracy = sum(one == other for one, other in zip(truth, found, strict=True)) / max(len(truth), 1)
    scores = " ".join(f"{score:6.3f}" for score in (accuracy, told.precision, told.recall, told.f1))
    print(f"{suite.kind:<14} {reader:<9} {model:<12} {len(answers):>8} {len(answers) - len(truth):>9} {scores}")


if __name__ == "__main__":
    sys.exit(main())
