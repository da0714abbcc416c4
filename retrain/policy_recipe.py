"""How a policy is trained: packaged recipes, and what a spec changes in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from monitor.errors import InvalidInput
from retrain.evaluation_recipe import EvaluationRecipe
from retrain.recipe import change_packaged


class PolicyRecipe(EvaluationRecipe):
    """What DPO and KTO share. Each field is explained in `recipes/dpo.yaml`."""

    beta: float = Field(gt=0, le=100)
    precompute_reference: bool
    epochs: float = Field(gt=0, le=100)
    max_steps: int = Field(ge=0)
    learning_rate: float = Field(gt=0, le=1)
    warmup_ratio: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0)
    batch_size: int = Field(ge=1, le=4096)
    gradient_accumulation: int = Field(ge=1, le=4096)
    gradient_checkpointing: bool
    max_length: int = Field(ge=16)
    lora: bool
    lora_rank: int = Field(ge=1, le=1024)
    held_out_ratio: float = Field(gt=0, le=0.5)
    split_seed: int = Field(ge=0, lt=2**32)
    patience: int = Field(ge=0)
    watched_ratio: float = Field(gt=0, le=0.5)
    save_steps: int = Field(ge=1)
    processes: int = Field(ge=0, le=64)
    threads: int = Field(ge=0, le=1024)
    length_prompts: int = Field(ge=0)


class DpoRecipe(PolicyRecipe):
    method: ClassVar[Literal["dpo"]] = "dpo"

    loss: Literal["sigmoid", "ipo", "robust", "sigmoid_norm"]
    label_smoothing: float = Field(ge=0, lt=0.5)
    ld_alpha: float = Field(ge=0, le=1)
    watch: Literal["loss", "accuracy"]
    samples_per_prompt: int = Field(ge=2, le=64)
    temperature: float = Field(gt=0, le=10)
    on_policy_ratio: float = Field(ge=0, le=0.9)

    @property
    def by_token(self) -> bool:
        """Whether the loss, and so the implicit reward, is a mean over an answer's tokens, not their sum."""
        return self.loss in {"ipo", "sigmoid_norm"}


class KtoRecipe(PolicyRecipe):
    method: ClassVar[Literal["kto"]] = "kto"

    loss: Literal["kto", "apo_zero_unpaired"]
    watch: Literal["loss"]
    batch_size: int = Field(ge=2, le=4096)  # its KL is taken from the other answers of a batch

    @property
    def by_token(self) -> bool:
        return False


def load_dpo_recipe(given: Mapping[str, float | int | str | bool]) -> DpoRecipe:
    recipe = change_packaged(given, DpoRecipe, family="dpo")
    if recipe.label_smoothing and recipe.loss != "robust":
        raise InvalidInput(
            f"recipe.label_smoothing = {recipe.label_smoothing!r}: the loss is {recipe.loss}; wanted robust, or 0"
        )
    return recipe


def load_kto_recipe(given: Mapping[str, float | int | str | bool]) -> KtoRecipe:
    return change_packaged(given, KtoRecipe, family="kto")
