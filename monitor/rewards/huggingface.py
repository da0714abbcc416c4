"""Reward models from local Hugging Face folders, scored by torch."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.errors import InvalidInput, InvalidSetting
from monitor.extra import needed
from monitor.rewards.ensemble import combine_complete
from monitor.rewards.folders import member_folders
from monitor.rewards.packing import BatchLimits, plan_batches
from monitor.rewards.rendering import render_lines, turns_of
from monitor.runs.artifact import artifact_sha256, short_version
from monitor.runs.heads import BACKBONE_FOLDER, HeadsForm, is_heads

with needed("gpu", "scoring with reward models in this process"):
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    from monitor.rewards.huggingface_heads import load_backbone, load_heads
    from monitor.rewards.huggingface_loading import dtype_on, load_classifier

Row = tuple[Sequence[Message], str]  # a prompt and the response to it
# The states (rows, padded tokens, width), the rows' indices in what is being scored, and their token ids.
Watch = Callable[[torch.Tensor, Sequence[int], Sequence[list[int]]], None]
MAX_BATCH_ROWS = 1024

_log = logging.getLogger(__name__)


class RowEncoder:
    """Turns a prompt and its response into the tokens one reward model reads.

    The tokenizer's chat template writes the conversation where there is one;
    elsewhere each message is a line "role: content", the response the last of
    them. What is longer than *max_tokens* loses its beginning, save for the
    token that opens every sequence: the end of the response is what is judged.
    Training must encode with this class too, or the model is asked about text
    it never saw the like of.
    """

    def __init__(self, tokenizer: Any, *, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._openers = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}

    @property
    def key(self) -> tuple[object, ...]:
        """Two encoders with equal keys give equal tokens."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = backend.to_str() if backend is not None else id(self.tokenizer)
        return (rules, self.tokenizer.chat_template, frozenset(self._openers), self.max_tokens)

    def encode(self, rows: Sequence[Row]) -> list[list[int] | None]:
        """Return each row's token ids; None where the template or the tokenizer refuses the row."""
        tokens = self.encode_turns([turns_of(messages, response) for messages, response in rows])
        return [self.truncate(ids) if ids else None for ids in tokens]

    def encode_turns(
        self, conversations: Sequence[Sequence[dict[str, str]]], *, generation_prompt: bool = False
    ) -> list[list[int] | None]:
        """Return each conversation's token ids, not truncated; None where it is refused."""
        texts = [self._render(turns, generation_prompt=generation_prompt) for turns in conversations]
        tokens: list[list[int] | None] = [None] * len(texts)
        rendered = [index for index, text in enumerate(texts) if text is not None]
        special = self.tokenizer.chat_template is None  # a template writes its own
        known = self._tokenize([texts[index] or "" for index in rendered], special=special)
        for index, ids in zip(rendered, known, strict=True):
            tokens[index] = ids
        return tokens

    def encode_texts(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Return each text's token ids, not truncated; None where the tokenizer refuses it."""
        return self._tokenize(list(texts), special=True)

    def truncate(self, ids: list[int], max_tokens: int | None = None) -> list[int]:
        """Drop the beginning of what is longer than *max_tokens*, the encoder's own limit by default."""
        limit = self.max_tokens if max_tokens is None else max_tokens
        if len(ids) <= limit:
            return ids
        opener = ids[:1] if ids[0] in self._openers else []
        return (opener + ids[len(ids) - limit + len(opener) :])[:limit]

    def _render(self, turns: Sequence[dict[str, str]], *, generation_prompt: bool) -> str | None:
        if self.tokenizer.chat_template is None:
            return render_lines(turns)
        try:
            return str(
                self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation_prompt)
            )
        except (TemplateError, ValueError, TypeError, KeyError):  # a template may know fewer roles than the trace
            return None

    def _tokenize(self, texts: list[str], *, special: bool) -> list[list[int] | None]:
        if not texts:
            return []
        try:
            encoding = self.tokenizer(
                texts,
                add_special_tokens=special,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
        except (TypeError, ValueError, OverflowError):  # lone surrogates, above all
            if len(texts) == 1:
                return [None]
            middle = len(texts) // 2
            return self._tokenize(texts[:middle], special=special) + self._tokenize(texts[middle:], special=special)
        ids: list[list[int] | None] = encoding["input_ids"]
        return ids


@dataclass(frozen=True, slots=True)
class _Member:
    """A model, which is one member, or with several heads as many."""

    name: str
    model: Any
    encoder: RowEncoder
    pad_id: int
    heads: HeadsForm | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The ensemble's members that it is."""
        return (self.name,) if self.heads is None else tuple(f"head-{n}" for n in range(self.heads.members))

    def forward(self, rows: Sequence[list[int]]) -> NDArray[np.float64]:
        """Score rows of token ids, padded on the right, by each output: shape (outputs, rows).

        The model itself finds each row's last token.
        """
        width = max(map(len, rows))
        ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        device = self.model.device
        with torch.inference_mode():
            output = self.model(
                input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device)
            )
        scores: NDArray[np.float64] = output.logits.T.double().cpu().numpy()
        return scores


class HuggingFaceEnsemble:
    """Reward models that judge the same rows; for one thread at a time.

    `failures` counts, by reason, the scores that could not be had since the start:
    `tokenizer`, `forward`, `not_finite`, `out_of_memory`. `on_forward` is told the real and the
    padded tokens of each forward pass that went well, in the thread that scores.
    """

    def __init__(self, members: Sequence[_Member], *, version: str, batch_tokens: int, beta: float) -> None:
        self.version = version
        self.failures: Counter[str] = Counter()
        self.on_forward: Callable[[int, int], None] = lambda _real, _padded: None
        self._members = tuple(members)
        self._watch: Callable[[Sequence[int], Sequence[list[int]]], None] = lambda _batch, _rows: None
        self._batch_tokens = batch_tokens
        self._beta = beta

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(name for member in self._members for name in member.names)

    @property
    def encoders(self) -> tuple[RowEncoder, ...]:
        """One for each pass over the rows, in their order; those that read the same tokens share it."""
        return tuple(member.encoder for member in self._members)

    @property
    def passes(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the members that each pass over the rows gives the scores of."""
        numbers = iter(range(len(self.members)))
        return tuple(tuple(islice(numbers, len(member.names))) for member in self._members)

    @property
    def batch_tokens(self) -> int:
        """Padded tokens in a forward pass: as configured, halved by each lack of memory."""
        return self._batch_tokens

    def watch_states(self, watch: Watch) -> None:
        """Tell *watch* the last states of the first member's backbone, after each of its passes that went well."""
        held: list[torch.Tensor] = []

        def hold(_module: Any, _inputs: Any, output: Any) -> None:
            held[:] = [output[0]]

        self._members[0].model.base_model.register_forward_hook(hold)
        self._watch = lambda batch, rows: watch(held.pop(), batch, rows)

    def score(self, rows: Sequence[Row]) -> list[Reward | None]:
        """Score each row by every member; None where a member could not.

        A row that breaks its batch is found by halving and given up alone. A
        score does not depend on the rows it is computed with, beyond rounding.
        """
        encoded = {id(member.encoder): member.encoder for member in self._members}
        tokens = {key: encoder.encode(rows) for key, encoder in encoded.items()}
        scores = np.vstack(
            [self._score_member(member, tokens[id(member.encoder)])[: len(member.names)] for member in self._members]
        )
        return combine_complete(scores, members=self.members, scorer_version=self.version, beta=self._beta)

    def score_dimensions(self, rows: Sequence[Row]) -> dict[str, NDArray[np.float64]]:
        """Score each row by the heads of single dimensions, which are no members; NaN where one could not."""
        found: dict[str, NDArray[np.float64]] = {}
        for member in self._members:
            if member.heads is not None and member.heads.dimensions:
                scores = self._score_member(member, member.encoder.encode(rows))[member.heads.members :]
                found |= dict(zip(member.heads.dimensions, scores, strict=True))
        return found

    def score_tokens(self, number: int, tokens: Sequence[list[int] | None]) -> NDArray[np.float64]:
        """Score rows of token ids by the pass of that number, shape (its members, rows); NaN where it could not."""
        member = self._members[number]
        return self._score_member(member, tokens)[: len(member.names)]

    def _score_member(self, member: _Member, tokens: Sequence[list[int] | None]) -> NDArray[np.float64]:
        """Return the scores by each of its outputs, shape (outputs, rows)."""
        scores: NDArray[np.float64] | None = None
        known = {index: ids for index, ids in enumerate(tokens) if ids is not None}
        for index in range(len(tokens)):
            if index not in known:
                self._give_up(member, index, "tokenizer")
        waiting = self._plan(known, known)
        while waiting:
            batch = waiting.popleft()
            rows = [known[index] for index in batch]
            values, reason = _attempt(member, rows)
            if values is not None:
                scores = np.full((len(values), len(tokens)), np.nan) if scores is None else scores
                scores[:, batch] = values
                lengths = [len(row) for row in rows]
                self.on_forward(sum(lengths), len(lengths) * max(lengths))
                if member is self._members[0]:
                    self._watch(batch, rows)
            elif len(batch) == 1:
                self._give_up(member, batch[0], reason)
            elif reason == "out_of_memory":
                self._batch_tokens = max(self._batch_tokens // 2, 1)
                torch.cuda.empty_cache()
                _log.warning("out of memory: batches hold %d padded tokens from now on", self._batch_tokens)
                waiting = self._plan(known, [*batch, *(index for rest in waiting for index in rest)])
            else:
                middle = len(batch) // 2
                waiting.extendleft([batch[middle:], batch[:middle]])
        outputs = len(member.names) if member.heads is None else member.heads.outputs
        return np.full((outputs, len(tokens)), np.nan) if scores is None else scores

    def _plan(self, tokens: dict[int, list[int]], indices: Iterable[int]) -> deque[list[int]]:
        indices = list(indices)
        limits = BatchLimits(self._batch_tokens, MAX_BATCH_ROWS)
        lengths = [len(tokens[index]) for index in indices]
        return deque([indices[place] for place in batch] for batch in plan_batches(lengths, limits))

    def _give_up(self, member: _Member, index: int, reason: str) -> None:
        self.failures[reason] += 1
        _log.warning("row %d of the batch has no score from %s: %s", index, member.name, reason)


def _attempt(member: _Member, rows: Sequence[list[int]]) -> tuple[NDArray[np.float64] | None, str]:
    """Return the batch's scores, or None and the reason why there are none."""
    try:
        values = member.forward(rows)
    except torch.OutOfMemoryError:
        return None, "out_of_memory"
    except torch.AcceleratorError:  # the device is lost; nothing that follows can be trusted
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        _log.debug("a batch of %d rows failed in %s: %s", len(rows), member.name, type(error).__name__)
        return None, "forward"
    return (values, "") if np.isfinite(values).all() else (None, "not_finite")


def load_ensemble(
    folders: Sequence[Path], *, device: str, max_tokens: int, batch_tokens: int, beta: float, version: str | None = None
) -> HuggingFaceEnsemble:
    """Load members from *folders*: each one is a member, heads on one backbone, or holds `member-0`, `member-1`, ...

    `device` is 'auto', 'cpu', 'cuda' or 'cuda:N'; `version` defaults to the start of
    the content's hash. Raises `InvalidInput` naming the folder, what was found
    and what was wanted. Nothing is fetched from anywhere.
    """
    if not folders:
        raise InvalidSetting("no reward model is named: give at least one folder")
    where = resolve_device(device)
    encoders: dict[tuple[object, ...], RowEncoder] = {}
    members = []
    for folder in (member for given in folders for member in member_folders(given)):
        member = _load_member(folder, device=where, max_tokens=max_tokens, encoders=encoders)
        members.append(member)
    if version is None:
        hashes = [artifact_sha256(folder) for folder in folders]
        version = short_version(hashes[0] if len(hashes) == 1 else sha256("".join(hashes).encode()).hexdigest())
    return HuggingFaceEnsemble(members, version=version, batch_tokens=batch_tokens, beta=beta)


def resolve_device(name: str) -> torch.device:
    """Return the device that 'auto', 'cpu', 'cuda' or 'cuda:N' names."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    number = name.removeprefix("cuda:")
    if name not in {"cpu", "cuda"} and (number == name or not number.isdigit()):
        raise InvalidSetting(f"device {name!r} is not known: write 'auto', 'cpu', 'cuda' or 'cuda:N'")
    if name != "cpu" and int(number if number.isdigit() else 0) >= torch.cuda.device_count():
        raise InvalidSetting(f"device {name!r} is not here: this machine has {torch.cuda.device_count()} CUDA devices")
    return torch.device(name)


def load_encoder(folder: Path, *, max_tokens: int) -> RowEncoder:
    """Return the encoder of the model in *folder*: no row is longer than *max_tokens* or than the model can read."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    positions = getattr(config.get_text_config(), "max_position_embeddings", None) or max_tokens
    return RowEncoder(tokenizer, max_tokens=min(max_tokens, int(tokenizer.model_max_length), positions))


def _load_member(
    folder: Path, *, device: torch.device, max_tokens: int, encoders: dict[tuple[object, ...], RowEncoder]
) -> _Member:
    source = folder / BACKBONE_FOLDER if is_heads(folder) else folder
    try:
        encoder = load_encoder(source, max_tokens=max_tokens)
        with quiet_transformers():
            model = (load_heads if is_heads(folder) else load_classifier)(folder, dtype_on(device))
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InvalidInput(f"{folder} cannot be loaded as a Hugging Face reward model: {reason}") from None
    encoder = encoders.setdefault(encoder.key, encoder)
    pad_id = choose_pad_id(source, model.config, encoder.tokenizer)
    model.config.get_text_config().pad_token_id = pad_id
    return _Member(folder.name, model.to(device).eval(), encoder, pad_id, model.form if is_heads(folder) else None)


def load_features(
    folder: Path, form: HeadsForm, *, device: str, max_tokens: int, batch_tokens: int
) -> HuggingFaceEnsemble:
    """Return the backbone in *folder* as an ensemble whose members are the features that heads of *form* read."""
    where = resolve_device(device)
    with quiet_transformers():
        model = load_backbone(folder, form, dtype_on(where))
    encoder = load_encoder(folder, max_tokens=max_tokens)
    pad_id = choose_pad_id(folder, model.config, encoder.tokenizer)
    all_of_them = replace(form, members=model.width, dimensions=())
    member = _Member(folder.name, model.to(where).eval(), encoder, pad_id, all_of_them)
    return HuggingFaceEnsemble([member], version="features", batch_tokens=batch_tokens, beta=0.0)


def choose_pad_id(folder: Path, config: Any, tokenizer: Any) -> int:
    """Return the token that pads: the model looks for its own in order to find a row's last token."""
    candidates = (config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    for candidate in candidates:
        if isinstance(candidate, int) and candidate >= 0:
            return candidate
    raise InvalidInput(f"{folder} names neither a pad token nor an end token: set pad_token_id in its config.json")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep loading from drawing progress bars and tables into a daemon's log."""
    bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
