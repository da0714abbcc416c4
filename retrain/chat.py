"""Prompts and answers as a policy reads and writes them: token ids, by the chat template of its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoConfig, AutoTokenizer

from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.rewards.rendering import turns_of

# For a folder without a chat template: a line "role: content" a message, the answer's with the token that ends it.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
_PROMPT_SHARE = 4  # of an example that is too long, its prompt keeps at least one part in so many


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """A prompt and the answers to it, none of them empty, within the length that is trained on."""

    prompt: list[int]
    answers: tuple[list[int], ...]
    truncated: bool


class PolicyEncoder:
    """Turns prompts and answers into the tokens a policy reads, and its tokens into answers."""

    def __init__(self, tokenizer: Any, *, max_tokens: int, ends: frozenset[int], plain: bool) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.ends = ends  # tokens that end an answer
        self.plain = plain  # the folder has no chat template

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def prompt(self, messages: Sequence[Message], *, room: int) -> list[int] | None:
        """Return the ids after which an answer of *room* tokens begins; None where the template refuses the prompt.

        A prompt that is too long for both loses its beginning.
        """
        ids = self._render([{"role": one.role, "content": one.content} for one in messages], generation_prompt=True)
        return ids and self._keep_end(ids, max(self.max_tokens - room, self.max_tokens // _PROMPT_SHARE))

    def encode(self, messages: Sequence[Message], answers: Sequence[str]) -> EncodedExample | None:
        """Return the ids of a prompt and of *answers* to it; None where the template refuses them.

        What is too long loses the prompt's beginning, down to a quarter of what is read; then the answers their end.
        """
        asked = self._render([{"role": one.role, "content": one.content} for one in messages], generation_prompt=True)
        whole = [self._render(turns_of(messages, answer), generation_prompt=False) for answer in answers]
        if not asked or any(not ids for ids in whole):
            return None
        # where prompt and answer part: not always after the prompt, since tokens may merge across it
        start = min(_shared_tokens(asked, ids or []) for ids in whole)
        said = [self._ended((ids or [])[start:]) for ids in whole]
        longest = max(map(len, said))
        prompt = self._keep_end(asked[:start], max(self.max_tokens - longest, self.max_tokens // _PROMPT_SHARE))
        room = self.max_tokens - len(prompt)
        truncated = len(prompt) < start or longest > room
        return EncodedExample(prompt, tuple(ids[:room] for ids in said), truncated)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the answer that *ids* spell, up to the token that ends it."""
        said = list(takewhile(lambda token: token not in self.ends, ids))
        return str(self.tokenizer.decode(said, skip_special_tokens=True)).strip()

    def _ended(self, ids: list[int]) -> list[int]:
        """Cut what a template writes behind the answer's end, or add the end where it writes none."""
        last = max((place for place, token in enumerate(ids) if token in self.ends), default=None)
        return [*ids, int(self.tokenizer.eos_token_id)] if last is None else ids[: last + 1]

    def _keep_end(self, ids: list[int], limit: int) -> list[int]:
        if len(ids) <= limit:
            return ids
        opener = ids[:1] if ids[0] == self.tokenizer.bos_token_id else []
        return opener + ids[len(ids) - limit + len(opener) :]

    def _render(self, turns: Sequence[dict[str, str]], *, generation_prompt: bool) -> list[int] | None:
        try:
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation_prompt)
            found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        except (TemplateError, ValueError, TypeError, KeyError, OverflowError):  # a role it does not know; a surrogate
            return None
        return found


def load_policy_encoder(folder: Path, *, max_length: int) -> PolicyEncoder:
    """Return the encoder of the policy in *folder*: nothing is longer than *max_length* or than the policy can read.

    Raises `InvalidInput` where its tokenizer cannot be loaded, or no token ends an answer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InvalidInput(f"{folder} cannot be loaded as a Hugging Face policy: {reason}") from None
    ends = {tokenizer.eos_token_id} | _ends_of_generation(folder)
    if tokenizer.eos_token_id is None:
        raise InvalidInput(f"{folder}: the tokenizer names no eos_token; wanted the one that ends an answer")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    plain = tokenizer.chat_template is None
    if plain:
        tokenizer.chat_template = PLAIN_TEMPLATE
    positions = getattr(config.get_text_config(), "max_position_embeddings", None) or max_length
    most = min(max_length, int(tokenizer.model_max_length), positions)
    return PolicyEncoder(tokenizer, max_tokens=most, ends=frozenset(ends), plain=plain)


def _ends_of_generation(folder: Path) -> set[int]:
    """Return the tokens that `generation_config.json` says end an answer."""
    path = folder / "generation_config.json"
    found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    return {token for token in (found if isinstance(found, list) else [found]) if token is not None}


def _shared_tokens(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
