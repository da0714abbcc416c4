"""The wire form of vLLM's `POST /classify`: what is asked, and how it is answered or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

MAX_LISTED_ERRORS = 10
MODEL_LIMIT = -1  # truncate_prompt_tokens: as many as the model reads
BAD_REQUEST = "BadRequestError"
OWNER = "rlhf-monitor"  # `owned_by` in a list of models that names an ensemble and its members


class Rejected(Exception):
    """A request is not answered with scores; `status` is HTTP's."""

    def __init__(self, message: str, *, status: int = 400, kind: str = BAD_REQUEST, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.status}}


@dataclass(frozen=True, slots=True)
class Conversation:
    turns: tuple[dict[str, str], ...]
    generation_prompt: bool


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """One request; its prompts are all texts, all token ids, or one conversation."""

    model: str | None  # None: the server's own
    prompts: Sequence[str] | Sequence[list[int]] | Conversation
    activation: bool  # the score's sigmoid instead of the score
    truncate_to: int | None  # keep the last tokens, `MODEL_LIMIT` as many as the model reads; None refuses long prompts

    @property
    def rows(self) -> int:
        return 1 if isinstance(self.prompts, Conversation) else len(self.prompts)


class _Options(BaseModel):
    model: str | None = None
    use_activation: bool | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=MODEL_LIMIT)] | None = None


class _Texts(_Options):
    input: list[int] | list[list[int]] | str | list[str]


class _Turn(BaseModel):
    role: str
    content: str


class _Chat(_Options):
    messages: list[_Turn]
    add_generation_prompt: bool = False


_request: TypeAdapter[_Texts | _Chat] = TypeAdapter(_Texts | _Chat)


def parse_request(body: bytes, *, max_rows: int) -> ClassifyRequest:
    """Read a request's body; raise `Rejected` where it is not one or holds more than *max_rows* prompts."""
    try:
        form = json.loads(body)
    except json.JSONDecodeError as error:
        raise _invalid_json(error.pos, error.msg) from None
    except (ValueError, RecursionError):  # not UTF-8, a number of thousands of digits, nested without end
        raise _invalid_json(0, "not readable") from None
    try:
        asked = _request.validate_python(form)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False)) from None
    prompts = _prompts(asked)
    rows = 1 if isinstance(prompts, Conversation) else len(prompts)
    if rows > max_rows:
        raise Rejected(f"{rows} prompts in one request; at most {max_rows} are taken", param="input")
    return ClassifyRequest(asked.model, prompts, asked.use_activation is not False, asked.truncate_prompt_tokens)


def _prompts(asked: _Texts | _Chat) -> Sequence[str] | Sequence[list[int]] | Conversation:
    if isinstance(asked, _Chat):
        turns = tuple({"role": turn.role, "content": turn.content} for turn in asked.messages)
        if not turns:
            raise Rejected("You must pass at least one message", param="messages")
        return Conversation(turns, asked.add_generation_prompt)
    if isinstance(asked.input, str):
        return [asked.input]
    if not asked.input:
        raise Rejected("You must pass at least one prompt")
    if isinstance(asked.input[0], int):
        return [[token for token in asked.input if isinstance(token, int)]]
    return asked.input


def _invalid_json(position: int, problem: str) -> Rejected:
    location = f"body.{position}"
    detail = {"type": "json_invalid", "loc": location, "msg": "JSON decode error", "ctx": {"error": problem}}
    return Rejected(f"1 validation error:\n  {detail}", kind="Bad Request", param=location)


def _invalid(errors: Sequence[ErrorDetails]) -> Rejected:
    """Name each wrong field by type alone: what a prompt holds is not repeated."""
    lines = [
        str({"type": error["type"], "loc": _location(error), "msg": error["msg"], "input": _sort(error["input"])})
        for error in errors[:MAX_LISTED_ERRORS]
    ]
    many = "" if len(errors) == 1 else "s"
    message = "\n  ".join([f"{len(errors)} validation error{many}:", *lines])
    return Rejected(message, kind="Bad Request", param=_location(errors[0]))


def _location(error: ErrorDetails) -> str:
    """Return the field, without the form of request and the alternatives that were tried."""
    return ".".join(["body", *(str(part) for part in error["loc"][1:2])])


def _sort(value: object) -> str:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    return f"<{type(value).__name__}>"
