"""`python -m retrain --spec FOLDER/spec.json`: exit 0 good, 1 failed, 2 bad spec."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from monitor.domain.run import RunResult
from monitor.domain.run_file import PROGRESS_FILE, RESULT_FILE, write_result
from monitor.errors import InvalidInput
from retrain.preferences import load_pairs
from retrain.progress import Progress
from retrain.spec import Order, load_order
from retrain.split import Split, split_pairs

GOOD, FAILED, BAD_SPEC = 0, 1, 2

# read by the libraries when they are imported: a run talks to nobody and draws no bars into its log
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "WANDB_MODE": "disabled",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m retrain", description="Carry out one training run.")
    parser.add_argument("--spec", type=Path, required=True, help="spec.json; result.json is written beside it")
    path: Path = parser.parse_args(arguments).spec
    started = time.monotonic()
    try:
        order = load_order(path)
    except InvalidInput as refusal:
        return _refuse(path, str(refusal), BAD_SPEC, started)
    os.environ.update(_QUIET)
    Path(order.spec.output).mkdir(parents=True, exist_ok=True)
    progress = Progress(path.parent / PROGRESS_FILE, sys.stdout)
    try:
        split = _split(order, progress)
        from retrain.run import refresh_reward  # noqa: PLC0415 - torch takes seconds, and reads the environment above

        result = refresh_reward(order, split, progress)
    except InvalidInput as refusal:
        return _refuse(path, str(refusal), FAILED, started)
    except Exception as error:  # noqa: BLE001 - the top of the process: whatever happened goes into the result
        traceback.print_exc()
        return _refuse(path, f"{type(error).__name__}: {error}", FAILED, started)
    write_result(path.parent / RESULT_FILE, result)
    return GOOD


def _split(order: Order, progress: Progress) -> Split:
    recipe = order.recipe
    loaded = load_pairs(order.spec.preferences)
    split = split_pairs(loaded.pairs, held_out_ratio=recipe.held_out_ratio, seed=recipe.split_seed)
    progress.report(
        f"{len(loaded.pairs)} preference pairs: {len(split.train)} to train on, {len(split.held_out)} held out,"
        f" {loaded.ties} ties left out; loading the training libraries"
    )
    return split


def _refuse(path: Path, reason: str, code: int, started: float) -> int:
    """Leave the reason in `result.json`, where the daemon looks, and on stderr, where people do."""
    if path.parent.is_dir():
        failed = RunResult("failed", reason, None, None, None, None, 0, 0, None, time.monotonic() - started)
        write_result(path.parent / RESULT_FILE, failed)
    sys.stderr.write(f"retrain: {reason}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
