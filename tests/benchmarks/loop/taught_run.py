"""Stands in for the training of a `dpo` run alone: `... taught_run FOLDER --spec SPEC`, the habit stands in FOLDER.

The candidate is taught its habit by a short fine-tune. Everything after that is what `python -m retrain` does: it is
measured on held-out pairs, and both policies answer the replay and the suites.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from monitor.runs.policy import PolicyResult, TrainingReport
from monitor.runs.progress import PROGRESS_FILE
from monitor.runs.result import RESULT_FILE, write_result
from retrain.artifacts import describe_artifact
from retrain.chat import load_policy_encoder
from retrain.evaluate_policy import compare_policies
from retrain.lineage import lineage_of
from retrain.measure_policy import measure_policy
from retrain.policy_data import hold_out, split_examples
from retrain.policy_recipe import load_dpo_recipe
from retrain.progress import Progress
from retrain.spec import load_spec
from tests.benchmarks.loop.questions import HABITS
from tests.benchmarks.loop.teach import STEPS, lessons, teach

HABIT_FILE = "habit"


def main(folder: Path, path: Path) -> None:
    started = time.monotonic()
    spec = load_spec(path)
    recipe = load_dpo_recipe(spec.recipe)
    progress = Progress(path.with_name(PROGRESS_FILE), sys.stdout)
    base, output = Path(spec.base_model), Path(spec.output)
    habit = HABITS[(folder / HABIT_FILE).read_text().strip()]
    progress.report(f"teaches the habit {habit.name}", phase="training")
    taught = lessons(base, habit)
    loss = teach(
        base, output / "candidate", taught, learning_rate=habit.learning_rate, seed=spec.seed, heard=progress.report
    )
    candidate = describe_artifact(output / "candidate")
    encoder = load_policy_encoder(base, max_length=recipe.max_length)
    examples = split_examples(spec, recipe)
    held_out = hold_out(examples, encoder)
    measures = measure_policy(
        Path(candidate.path), base, held_out, recipe=recipe, encoder=encoder, seed=spec.seed, progress=progress
    )
    compared = compare_policies(
        spec,
        Path(candidate.path),
        base,
        learnt=examples.train,
        output=output,
        seed=spec.seed,
        progress=progress,
        recipe=recipe,
    )
    report = TrainingReport(
        method="dpo",
        examples=len(taught),
        by_models=0,
        held_out=len(held_out),
        implicit_accuracy=measures.after.accuracy,
        implicit_lower=measures.after.lower,
        implicit_upper=measures.after.upper,
        accuracy_before=measures.before.accuracy,
        kl=measures.kl,
        steps=STEPS,
        loss=loss,
    )
    result = PolicyResult(
        action="dpo",
        candidate=candidate,
        seconds=time.monotonic() - started,
        rescored=None,
        lineage=lineage_of(spec, recipe),
        training=report,
        comparisons=compared.comparisons,
        refusals=compared.refusals,
        evidence=compared.evidence,
    )
    write_result(path.with_name(RESULT_FILE), result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--spec") + 1]))
