"""How a reward model is trained: a packaged recipe, and what a spec changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.errors import InvalidInput

FOLDER = Path(__file__).parent / "recipes"
DEFAULT = "reward"


class RewardRecipe(BaseModel):
    """Each field is explained in `recipes/reward.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["full", "lora", "heads"]
    backbone: Literal["frozen", "full", "lora"]
    layers: str = Field(min_length=1)
    read_length: bool
    feature_share: float = Field(gt=0, le=1)
    dimension_pairs: int = Field(ge=10)
    members: int = Field(ge=1, le=16)
    margin: float = Field(ge=0, le=10)
    balance_lengths: bool
    warm_start: bool
    epochs: float = Field(gt=0, le=100)
    max_steps: int = Field(ge=0)
    learning_rate: float = Field(gt=0, le=1)
    warmup_ratio: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1)
    batch_size: int = Field(ge=1, le=4096)
    gradient_accumulation: int = Field(ge=1, le=4096)
    gradient_checkpointing: bool
    max_length: int = Field(ge=8)
    center_rewards: float = Field(ge=0, le=10)
    lora_rank: int = Field(ge=1, le=1024)
    held_out_ratio: float = Field(gt=0, le=0.5)
    threads: int = Field(ge=0, le=1024)
    split_seed: int = Field(ge=0, lt=2**32)
    evaluation_tokens: int = Field(ge=64)


Recipe = TypeVar("Recipe", bound=BaseModel)


def load_recipe(given: Mapping[str, float | int | str | bool]) -> RewardRecipe:
    """Return the packaged reward recipe that *given* names, changed by its other keys."""
    return change_packaged(_renamed(given), RewardRecipe, family=DEFAULT)


def _renamed(given: Mapping[str, float | int | str | bool]) -> Mapping[str, float | int | str | bool]:
    """Return a recipe in today's words: releases before `kind` had `lora: true` or `false`."""
    if given.get("lora") not in {True, False}:
        return given
    kind = "lora" if given["lora"] else "full"
    return {"kind": kind} | {name: value for name, value in given.items() if name != "lora"}


def change_packaged(given: Mapping[str, float | int | str | bool], kind: type[Recipe], *, family: str) -> Recipe:
    """Return the packaged recipe that *given* names under `name`, changed by the other keys.

    The name is the family's, which it is without one, or begins with it: `reward`, `reward_demo`.
    Raises `InvalidInput` naming the key, its value and what was wanted.
    """
    name = given.get("name", family)
    known = sorted(path.stem for path in FOLDER.glob(f"{family}*.yaml"))
    if name not in known:
        raise InvalidInput(f"recipe.name = {name!r}; wanted one of {', '.join(known)}")
    packaged: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        return kind.model_validate(packaged | {key: given[key] for key in given if key != "name"})
    except ValidationError as error:
        first = error.errors()[0]
        place, value = first["loc"][0] if first["loc"] else name, first["input"]
        raise InvalidInput(f"recipe.{place} = {value!r}: {first['msg']}") from None
