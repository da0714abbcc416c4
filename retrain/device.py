"""Which device a trainer takes."""

from __future__ import annotations

from typing import TypeVar

from transformers import TrainingArguments

Arguments = TypeVar("Arguments", bound=TrainingArguments)


def on_one_gpu(arguments: Arguments) -> Arguments:
    """Let a process that nobody launched as one of several see the first GPU alone: TRL refuses to split a model."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments
