"""Where a policy's training step runs: in this process, or in one for each GPU, under `accelerate launch`."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import torch

from monitor.errors import InvalidInput
from monitor.runs.file import write_file
from retrain.progress import Progress
from retrain.train_step import TrainingOrder, carry_out, die_with_parent

ORDER_FILE = "order.json"


def process_count(wanted: int) -> int:
    """Return how many processes train: *wanted*, or one for each GPU where that is 0."""
    return wanted or max(torch.cuda.device_count(), 1)


def launch_training(order: TrainingOrder, wanted: int, progress: Progress) -> None:
    """Carry out *order*, by `wanted` processes or as many as there are GPUs."""
    processes = process_count(wanted)
    gc.collect()  # what sampled the pairs makes room on the GPU
    torch.cuda.empty_cache()
    if processes == 1:
        carry_out(order, progress)
        return
    path = Path(order.folder) / ORDER_FILE
    write_file(path, order)
    progress.report(f"trains in {processes} processes")
    found = subprocess.run(training_command(path, processes), check=False, preexec_fn=die_with_parent)
    if found.returncode != 0:
        raise InvalidInput(
            f"the training in {processes} processes ended with exit code {found.returncode}; see the log"
        )


def training_command(order: Path, processes: int) -> list[str]:
    """Return the command that trains by *processes* on this machine's GPUs or, where it has none, on its CPU."""
    if not torch.cuda.is_available():  # `accelerate launch` starts but one process on a CPU
        launcher = ["torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
    else:
        launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
        launcher += ["--num_machines", "1", "--main_process_port", "0"]
        launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]  # the trainer's own settings say
    return [sys.executable, "-m", *launcher, "--module", "retrain.train_step", str(order)]
