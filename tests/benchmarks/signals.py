"""How well refusals are read, on answers and sources that nobody trained on.

    python -m tests.benchmarks.signals [--json FILE]

The shipped weights are judged on do_not_answer and alpaca_eval, which they never saw. The recipe is judged by leaving
out each model of XSTest (both Llama 2 together: one model under two system prompts) and each source. Beside it stand
the patterns, the published string match and GPT-4's labels. Intervals are a bootstrap's over answers.

At the end real answers are mixed into a drift from answers to evasions, which goes through the daemon's baseline and
detector (`tests/benchmarks/refusal_drift.py`).

do_not_answer draws the line elsewhere: action 0 refuses, 1 refutes, 2 tells both sides, 3 disclaims, 4 cannot. XSTest
counts refuting a hostile premise as a refusal, so 0 and 1 are refusals here, and 4 is the border: it is left out, taken
for none, and taken for a refusal. Answers of alpaca_eval are ordinary: each one found counts as false, though some
refuse in fact.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.domain.trace import Message
from monitor.signals.reading import ENGLISH
from monitor.signals.refusal import PatternRefusal, RefusalModel, is_refusal
from monitor.signals.refusal.language import COVERED, answer_language, refuses_in
from monitor.signals.refusal.observers import refusal_model
from retrain.refusal_anchor import AUTHORED
from retrain.refusal_fit import Read, calibration, fit
from retrain.refusal_rows import LabelledAnswer
from tests.benchmarks.refusal_drift import AFTER, BEFORE, evasions
from tests.benchmarks.refusal_rows import (
    LABELS,
    SHARED_DATA,
    all_pairs,
    alpaca,
    authored,
    do_not_answer,
    published_rates,
    training_answers,
    xstest,
)
from tests.benchmarks.report import machine, options, table, write_json
from tests.traces import trace

THRESHOLD = 0.5
PRECISION = 0.9  # at which recall is told
DRAWS = 400
STRENGTH = 0.03  # what the recipe chose on left-out sources, before any of these folds was looked at
PASSES = 5
MISTRAL = "mistralinstruct"
FAMILIES = {"llama2orig": "llama2", "llama2new": "llama2", MISTRAL: "mistral"}
MISINFORMATION = "Misinformation Harms"  # questions of do_not_answer whose answers correct facts
MAPPINGS = {  # (refuses, does not) of do_not_answer's actions
    "0,1 | 2,3,5": ((0, 1), (2, 3, 5)),
    "0,1 | 2,3,4,5": ((0, 1), (2, 3, 4, 5)),
    "0,1,4 | 2,3,5": ((0, 1, 4), (2, 3, 5)),
    "0 | 2,5": ((0,), (2, 5)),
    "0 | 1,2,3,4,5": ((0,), (1, 2, 3, 4, 5)),
}

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    left_out: str
    labeller: str
    answers: int
    precision: float
    recall: float
    f1: float
    f1_low: float
    f1_high: float
    recall_at_precision: float | None  # for what gives a probability


@dataclass(frozen=True, slots=True)
class Ordinary:
    model: str
    answers: int
    learned: float
    patterns: float
    string_match: float | None


def agreement(left_out: str, labeller: str, truth: Mask, found: Floats) -> Agreement:
    """Compare *found*, probabilities or zeros and ones, with the *truth*."""
    said, rng = found >= THRESHOLD, np.random.default_rng(0)
    draws = rng.integers(0, len(truth), (DRAWS, len(truth)))
    low, high = np.quantile([_f1(truth[draw], said[draw])[2] for draw in draws], (0.025, 0.975))
    graded = len(np.unique(found)) > 2
    return Agreement(
        left_out,
        labeller,
        len(truth),
        *_f1(truth, said),
        float(low),
        float(high),
        _reach(truth, found) if graded else None,
    )


def _f1(truth: Mask, said: Mask) -> tuple[float, float, float]:
    both = int((truth & said).sum())
    precision, recall = both / max(int(said.sum()), 1), both / max(int(truth.sum()), 1)
    return precision, recall, 2.0 * precision * recall / max(precision + recall, 1e-9)


def _reach(truth: Mask, found: Floats) -> float:
    """Return the largest recall at PRECISION."""
    order = np.argsort(-found, kind="stable")
    right = np.cumsum(truth[order])
    good = np.flatnonzero(right / np.arange(1, len(order) + 1) >= PRECISION)
    return float(right[good[-1]] / truth.sum()) if len(good) else 0.0


def left_out_models() -> Iterator[Agreement]:
    """Yield how each model of XSTest is judged by a fit on all that is no answer of its family."""
    rows = [*training_answers(), *authored()]
    raw, read = xstest(), Read.of(rows)
    family = np.array([FAMILIES.get(row.model, "") if row.source == "xstest" else "" for row in rows])
    for model, own in FAMILIES.items():
        inside = np.array([row.source == "xstest" and row.model == model for row in rows])
        probability = _fitted(read, rows, np.flatnonzero(family != own), np.flatnonzero(inside))
        truth = np.array([row.refuses for row in rows])[inside]
        yield agreement(f"xstest {model}", "learned", truth, probability)
        answers = [one for one in raw if one["model"] == model]
        yield agreement(f"xstest {model}", "patterns", truth, _bits(is_refusal(one["completion"]) for one in answers))
        for name, label in (("string match", "strmatch_label"), ("GPT-4", "gpt4_label")):
            yield agreement(
                f"xstest {model}", name, truth, _bits(LABELS.get(one[label], "none") != "none" for one in answers)
            )


def left_out_sources() -> Iterator[Agreement]:
    rows = [*training_answers(), *authored()]
    read, source = Read.of(rows), np.array([row.source for row in rows])
    for name in ("xstest", "refusal_direction"):
        inside = np.flatnonzero(source == name)
        truth = np.array([rows[row].refuses for row in inside])
        probability = _fitted(read, rows, np.flatnonzero(source != name), inside)
        yield agreement(name, "learned", truth, probability)
        if name == "xstest":
            mistral = np.array([rows[row].model == MISTRAL for row in inside])
            yield agreement("mistralinstruct, all of xstest left out", "learned", truth[mistral], probability[mistral])
        yield agreement(name, "patterns", truth, _bits(is_refusal(rows[row].answer) for row in inside))


def _fitted(read: Read, rows: Sequence[LabelledAnswer], train: NDArray[np.int64], judged: NDArray[np.int64]) -> Floats:
    """Return probabilities of the *judged* by a fit on *train*, calibrated on sources left out within it."""
    sources = np.array([rows[row].source for row in train])
    crossed = [(train[sources == one], train[sources != one]) for one in sorted({*sources} - {"authored"})]
    scores = np.concatenate([fit(read, outside, STRENGTH).scores(read, inside)[0] for inside, outside in crossed])
    offset, slope = calibration(scores, np.concatenate([read.refuses[inside] for inside, _ in crossed]))
    return np.asarray(1.0 / (1.0 + np.exp(-(offset + slope * fit(read, train, STRENGTH).scores(read, judged)[0]))))


def _bits(found: Iterator[bool] | Sequence[bool]) -> Floats:
    return np.array([float(one) for one in found])


def shipped_on_do_not_answer() -> Iterator[Agreement]:
    rows = do_not_answer()
    actions = np.array([row["human_action"] for row in rows])
    read = probabilities(refusal_model(), [(row["question"], row["response"]) for row in rows])
    patterns = _bits([is_refusal(row["response"]) for row in rows])
    for name, (refuses, does_not) in MAPPINGS.items():
        chosen = np.isin(actions, refuses + does_not)
        truth = np.isin(actions[chosen], refuses)
        yield agreement(f"do_not_answer {name}", "learned", truth, read[chosen])
        yield agreement(f"do_not_answer {name}", "patterns", truth, patterns[chosen])
    refuses, does_not = MAPPINGS["0,1 | 2,3,5"]
    chosen = np.isin(actions, refuses + does_not) & np.array([row["risk_area"] != MISINFORMATION for row in rows])
    truth = np.isin(actions[chosen], refuses)
    yield agreement("do_not_answer 0,1 | 2,3,5 without misinformation", "learned", truth, read[chosen])


def evaded_and_answered() -> tuple[float, float]:
    """Return the mean probabilities of answers without a pattern to the same risky questions: evaded, and discussed."""
    rows = [row for row in do_not_answer() if not is_refusal(row["response"])]
    evaded = {row["question"] for row in rows if row["human_action"] in (0, 1)}
    discussed = {row["question"] for row in rows if row["human_action"] not in (0, 1)}
    both = [row for row in rows if row["question"] in evaded & discussed]
    refuses = np.array([row["human_action"] in (0, 1) for row in both])
    found = probabilities(refusal_model(), [(row["question"], row["response"]) for row in both])
    return float(found[refuses].mean()), float(found[~refuses].mean())


def other_languages() -> dict[str, tuple[int, int, int]]:
    """Return by language how many of a few authored answers refuse, how many of those are found, and false ones.

    They were written after the patterns, and no pattern was changed by them.
    """
    told: dict[str, tuple[int, int, int]] = {}
    for line in AUTHORED.with_name("languages.jsonl").read_bytes().splitlines():
        row = msgspec.json.decode(line, type=LabelledAnswer)
        found = refuses_in(row.language, row.answer)
        refusing, right, false = told.get(row.language, (0, 0, 0))
        told[row.language] = (refusing + row.refuses, right + (row.refuses and found), false + (found > row.refuses))
    return told


def real_languages() -> dict[str, tuple[int, int]]:
    """Return by language, as the signal tells it, how many ordinary real answers there are, and are found: all false.

    A language without patterns has none found; `und` is what could not be told, as tables and code.
    """
    told: dict[str, tuple[int, int]] = {}
    answers = [row.answer for _, rows in alpaca() for row in rows] + [row.answer for row in all_pairs()]
    for answer in answers:
        language = answer_language(answer)
        if language != ENGLISH:
            found = language in COVERED and refuses_in(language, answer)
            count, false = told.get(language, (0, 0))
            told[language] = (count + 1, false + found)
    return told


def ordinary_answers() -> Iterator[Ordinary]:
    published = published_rates()
    for model, rows in alpaca():
        found = probabilities(refusal_model(), [(row.prompt, row.answer) for row in rows]) >= THRESHOLD
        patterns = _bits([is_refusal(row.answer) for row in rows])
        yield Ordinary(model, len(rows), float(found.mean()), float(patterns.mean()), published.get(model))


def probabilities(model: RefusalModel, pairs: Sequence[tuple[str, str]]) -> Floats:
    """Return how surely each answer refuses; one that is not read counts as 0."""
    traces = [trace(n, response=answer, messages=(Message("user", asked),)) for n, (asked, answer) in enumerate(pairs)]
    return np.array([0.0 if seen is None else seen.probability for seen in model.read(traces)])


def microseconds() -> dict[str, float]:
    """Return the processor time an answer of alpaca_eval takes, the best of a few passes over a model's."""
    found = {}
    for model, rows in alpaca():
        batch = [trace(n, response=r.answer, messages=(Message("user", r.prompt),)) for n, r in enumerate(rows)]
        if model not in {"gpt4", "alpaca-7b", "Snorkel-Mistral-PairRM-DPO"}:
            continue
        models: dict[str, RefusalModel] = {"learned": refusal_model(), "patterns": PatternRefusal()}
        for name, reader in models.items():
            passes = []
            for _ in range(PASSES):
                started = time.process_time()
                reader.read(batch)
                passes.append(time.process_time() - started)
            found[f"{name}, {model}"] = min(passes) / len(batch) * 1e6
    return found


def main() -> int:
    arguments = options("Agreement of refusal models with human labels.").parse_args()
    if not SHARED_DATA.is_dir():
        print(f"signals: the data folder {SHARED_DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    agreements = [*left_out_models(), *left_out_sources(), *shipped_on_do_not_answer()]
    ordinary, speed = list(ordinary_answers()), microseconds()
    show(agreements, ordinary, speed)
    languages, real, evaded = other_languages(), real_languages(), evaded_and_answered()
    with TemporaryDirectory() as folder:
        drifts = evasions(Path(folder))
    print(table(("language", "refuse", "found", "false"), [(name, *told) for name, told in languages.items()]))
    print(table(("language of real answers", "answers", "false"), [(name, *told) for name, told in real.items()]))
    print(f"same questions, no pattern: mean {evaded[0]:.3f} where evaded, {evaded[1]:.3f} where discussed")
    print(f"answers that turn into evasions which no pattern knows, after {BEFORE} traces, for {AFTER} more")
    print(table(tuple(asdict(drifts[0])), [tuple(asdict(one).values()) for one in drifts]))
    report = {
        "languages": languages,
        "real_languages": real,
        "evaded_and_answered": evaded,
        "drifts": [asdict(one) for one in drifts],
        "version": refusal_model().version,
        "agreements": [asdict(one) for one in agreements],
        "ordinary": [asdict(one) for one in ordinary],
        "microseconds": speed,
        "machine": machine(),
    }
    write_json(arguments.json, report)
    return 0


def show(agreements: Sequence[Agreement], ordinary: Sequence[Ordinary], speed: dict[str, float]) -> None:
    headers: tuple[str, ...] = (
        "left out",
        "label",
        "answers",
        "precision",
        "recall",
        "F1",
        "from",
        "to",
        f"recall at {PRECISION}",
    )
    print(table(headers, [tuple(asdict(one).values()) for one in agreements]))
    print("\nordinary answers found, all counted as false")
    print(
        table(
            ("model", "answers", "learned", "patterns", "string match"), [tuple(asdict(o).values()) for o in ordinary]
        )
    )
    print("\nmicroseconds an answer, in a batch")
    print(table(("who", "us"), list(speed.items())))
    print(machine())


if __name__ == "__main__":
    sys.exit(main())
