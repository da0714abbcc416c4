"""`python -m retrain.train_step ORDER SEEN`, which also keeps what its process trains on, a line for each batch."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitor.runs.file import read_file
from retrain import train_step
from retrain.progress import Progress
from retrain.train_step import TrainingOrder, carry_out, die_with_parent


def record(trainer: Any, seen: Path) -> None:
    """Let *trainer* write the token ids of each batch, without their padding, beside the step that takes them."""
    take = trainer.training_step

    def training_step(self: Any, model: Any, inputs: Mapping[str, Any], *more: Any, **named: Any) -> Any:
        rows = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
        texts = [" ".join(str(token) for token, counts in zip(*row, strict=True) if counts) for row in rows]
        with seen.open("a") as file:
            file.write(json.dumps([self.state.global_step, texts]) + "\n")
        return take(self, model, inputs, *more, **named)

    trainer.training_step = training_step


if __name__ == "__main__":
    die_with_parent()
    folder = Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    for kind in (train_step._EncodedDpoTrainer, train_step._EncodedKtoTrainer):
        record(kind, folder / os.environ.get("RANK", "0"))
    given = read_file(Path(sys.argv[1]), TrainingOrder)
    carry_out(given, Progress(Path(given.progress), sys.stdout))
