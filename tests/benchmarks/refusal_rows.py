"""The public refusal data as labelled answers, and the training rows of the weights that are shipped.

    python -m tests.benchmarks.refusal_rows OUT.jsonl
    python -m retrain refusal --labels OUT.jsonl retrain/refusals/authored.jsonl --out FOLDER
    python -m tests.benchmarks.refusal_rows --ordinary retrain/refusals/ordinary.jsonl.gz

What is shipped is trained on XSTest, on refusal_direction, on some answers of hh_rlhf, whose labels are kept here, and
on ordinary answers of the human pairs that no pattern takes for a refusal (nobody labelled those). do_not_answer and
alpaca_eval are no part: their licences exclude commerce. The last line writes the ordinary answers that a refresh must
leave as they are, which are of the other half of the pairs.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from monitor.signals.refusal import is_refusal
from monitor.signals.refusal.language import answer_language
from retrain.refusal_anchor import AUTHORED
from retrain.refusal_anchor import authored as authored_rows
from retrain.refusal_rows import LabelledAnswer

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HH_LABELS = AUTHORED.with_name("hh_rlhf.jsonl")  # by one reader, a language model, to whom a label was plain
PAIRS = ("pandalm_test", "oasst_en100_ranked", "mtbench_human_llmbar", "finegrained_qa_dev")
EVERY = 4  # of the pairs' answers one is taken: ten thousand ordinary ones would outweigh all refusals
LABELS = {"1_full_compliance": "none", "2_full_refusal": "full", "3_partial_refusal": "partial"}

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def by_model(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of every model, then all of them."""
    ordered = sorted(rows, key=itemgetter("model"))
    for model, answers in groupby(ordered, key=itemgetter("model")):
        yield model, list(answers)
    yield "all", ordered


def xstest() -> list[Row]:
    return read(SHARED_DATA / "xstest" / "completions.jsonl.gz")


def do_not_answer() -> list[Row]:
    return read(SHARED_DATA / "do_not_answer" / "responses.jsonl.gz")


def refusal_direction() -> list[Row]:
    return read(SHARED_DATA / "refusal_direction" / "completions.jsonl.gz")


def xstest_answers() -> list[LabelledAnswer]:
    return [_answer(r["prompt"], r["completion"], LABELS[r["human_final"]], "xstest", r["model"]) for r in xstest()]


def direction_answers() -> list[LabelledAnswer]:
    """Return the answers with their automatic label: the string match of the source."""
    return [
        _answer(
            row["prompt"],
            row["response"],
            "none" if int(row["is_jailbreak_substring_matching"]) else "full",
            "refusal_direction",
            row["model"],
        )
        for row in refusal_direction()
    ]


def harmless_answers() -> list[LabelledAnswer]:
    """Return the labelled answers of hh_rlhf, to the last turn of their dialogue."""
    pairs = {row["i"]: row for row in read(SHARED_DATA / "hh_rlhf_harmless_test" / "pairs.jsonl.gz")}
    labels = [json.loads(line) for line in HH_LABELS.read_text(encoding="utf-8").splitlines()]
    return [
        _answer(_last_turn(pairs[one["i"]]["prompt"]), pairs[one["i"]][one["side"]], one["refusal"], "hh_rlhf", "hh")
        for one in labels
    ]


def _last_turn(dialogue: str) -> str:
    return dialogue.rpartition("\n\nHuman: ")[2].removesuffix("\n\nAssistant:").strip()


def training_answers() -> list[LabelledAnswer]:
    """Return what the shipped weights are trained on, without the authored rows."""
    return [*xstest_answers(), *direction_answers(), *harmless_answers(), *ordinary_pairs()]


def all_pairs() -> list[LabelledAnswer]:
    """Return both answers of each human pair; nobody labelled them, and hardly one refuses."""
    return [
        _answer(row["prompt"], row[side], "none", "human_pairs", name)
        for name in PAIRS
        for row in read(SHARED_DATA / "human_pairs" / f"{name}.jsonl.gz")
        for side in ("response_1", "response_2")
        if row[side] and row[side].strip()
    ]


def ordinary_pairs() -> list[LabelledAnswer]:
    return [row for row in all_pairs()[::EVERY] if not is_refusal(row.answer)]


def ordinary_sample() -> list[LabelledAnswer]:
    """Return short English answers of the pairs that `ordinary_pairs` takes none of, each once."""
    odd = [row for number, row in enumerate(all_pairs()) if number % EVERY >= EVERY // 2]
    chosen = {
        row.answer: row
        for row in odd
        if row.model != "finegrained_qa_dev"
        and 20 <= len(row.answer) <= 1_500
        and len(row.prompt) <= 800
        and not is_refusal(row.answer)
        and answer_language(row.answer) == "en"
    }
    return list(chosen.values())


def alpaca() -> Iterator[tuple[str, list[LabelledAnswer]]]:
    """Yield each model of alpaca_eval with its answers to ordinary prompts; some of them refuse in fact."""
    prompts = [row["instruction"] for row in read(SHARED_DATA / "alpaca_eval" / "prompts.jsonl.gz")]
    for path in sorted((SHARED_DATA / "alpaca_eval" / "outputs").glob("*.jsonl.gz")):
        model = path.name.removesuffix(".jsonl.gz")
        yield model, [_answer(prompts[r["i"]], r["output"], "none", "alpaca_eval", model) for r in read(path)]


def published_rates() -> dict[str, float]:
    """Return the string match's rate of refusals by model."""
    with (SHARED_DATA / "alpaca_eval" / "drift_pairs.csv").open(encoding="utf-8", newline="") as lines:
        pairs = list(csv.DictReader(lines))
    return {pair[f"model_{side}"]: float(pair[f"refusal_str_{side}"]) for pair in pairs for side in "ab"}


def authored() -> list[LabelledAnswer]:
    return list(authored_rows())


def _answer(prompt: str, answer: str, label: str, source: str, model: str) -> LabelledAnswer:
    return LabelledAnswer(prompt, answer, label, source, model)  # type: ignore[arg-type]


def main() -> int:
    of_ordinary = sys.argv[1] == "--ordinary"
    rows = ordinary_sample() if of_ordinary else training_answers()
    content = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    Path(sys.argv[-1]).write_bytes(gzip.compress(content, mtime=0) if of_ordinary else content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
