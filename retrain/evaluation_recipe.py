"""How a candidate policy is compared with the champion: part of a policy's recipe."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.errors import InvalidInput


class EvaluationRecipe(BaseModel):
    """A policy's recipe has these fields beside those of its training."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    replay_prompts: int = Field(0, ge=0, le=100_000, description="replayed prompts at most; 0: all of the spec's")
    suite_items: int = Field(0, ge=0, le=100_000, description="items of each suite at most, twins together; 0: all")
    good_answers: int = Field(200, ge=0, le=100_000, description="champion's good answers read at most; 0: all")
    max_new_tokens: int = Field(256, ge=1, le=32_768, description="tokens of an answer at most, on both sides")
    answer_temperature: float = Field(0.0, ge=0, le=2, description="0: the likeliest token each time")
    evaluation_tokens: int = Field(16_384, ge=64, description="padded tokens of prompts and answers in a batch")
    server_concurrency: int = Field(8, ge=1, le=256, description="requests at once, where a server answers")
    server_timeout_seconds: float = Field(120.0, gt=0, le=3_600, description="time one request may take")


def evaluation_of(recipe: Mapping[str, float | int | str | bool]) -> EvaluationRecipe:
    """Return the fields that are *recipe*'s, the rest by default; raise `InvalidInput` naming a wrong one."""
    try:
        return EvaluationRecipe.model_validate(
            {name: recipe[name] for name in EvaluationRecipe.model_fields if name in recipe}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"recipe.{first['loc'][0]} = {first['input']!r}: {first['msg']}") from None
