"""Several heads on one backbone: a forward pass gives the scores of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor.errors import InvalidInput
from monitor.extra import needed
from monitor.runs.heads import BACKBONE_FOLDER, WEIGHTS_FILE, HeadsForm, answer_start, read_form

with needed("gpu", "scoring with reward models in this process"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
    from transformers import AutoModel
    from transformers.modeling_outputs import SequenceClassifierOutput


class HeadedBackbone(torch.nn.Module):
    """Reads rows as a model for sequence classification does; its logits have a column an output of the form.

    Without heads the logits are the features themselves.
    """

    def __init__(self, backbone: Any, form: HeadsForm) -> None:
        super().__init__()
        self.base_model = backbone
        self.form = form
        self.config = backbone.config
        self.heads: torch.nn.Linear | None = None

    @property
    def device(self) -> torch.device:
        device: torch.device = self.base_model.device
        return device

    @property
    def width(self) -> int:
        """Features of a row."""
        return len(self.form.layers) * int(self.config.get_text_config().hidden_size) + 1

    def attach(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Give it heads: *weight* (outputs, features), *bias* (outputs)."""
        self.heads = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float32)
        self.heads.load_state_dict({"weight": weight.float(), "bias": bias.float()})

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SequenceClassifierOutput:
        states = self.base_model(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        ).hidden_states
        read = self._answers(input_ids, attention_mask)
        length = read.sum(dim=1, keepdim=True)
        share = (read / length).unsqueeze(1)  # rows, 1, width
        layers = [torch.bmm(share, states[layer].float()).squeeze(1) for layer in self.form.layers]
        features = torch.cat([*layers, torch.log1p(length)], dim=1)
        return SequenceClassifierOutput(logits=features if self.heads is None else self.heads(features))

    def _answers(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return 1 for the tokens whose states are read, 0 for the others, shape (rows, width)."""
        read = mask.to(torch.float32)
        lengths = mask.sum(dim=1).tolist()
        for place, (row, length) in enumerate(zip(ids.tolist(), lengths, strict=True)):
            read[place, : answer_start(row[:length], self.form.answer_mark)] = 0.0
        return read


def load_backbone(folder: Path, form: HeadsForm, dtype: torch.dtype) -> HeadedBackbone:
    """Return the model in *folder*, without any head of its own, to read features with."""
    backbone = AutoModel.from_pretrained(folder, local_files_only=True, dtype=dtype)
    depth = backbone.config.get_text_config().num_hidden_layers
    if max(form.layers) > depth:
        raise InvalidInput(f"{folder} has {depth} layers; the heads read layer {max(form.layers)}")
    return HeadedBackbone(backbone, form)


def load_heads(folder: Path, dtype: torch.dtype) -> HeadedBackbone:
    """Return the heads in *folder* on their backbone; raise `InvalidInput` where its files do not fit each other."""
    form = read_form(folder)
    model = load_backbone(folder / BACKBONE_FOLDER, form, dtype)
    try:
        weights = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{folder / WEIGHTS_FILE}: {error}; wanted the heads' weights") from None
    wanted = (form.outputs, model.width)
    found = tuple(weights["weight"].shape) if weights.keys() == {"weight", "bias"} else sorted(weights)
    if found != wanted:
        raise InvalidInput(
            f"{folder / WEIGHTS_FILE} holds {found}; wanted weight and bias, {wanted} as ensemble.json says"
        )
    model.attach(weights["weight"], weights["bias"])
    return model


def save_heads(folder: Path, weight: torch.Tensor, bias: torch.Tensor) -> None:
    save_file({"weight": weight.contiguous(), "bias": bias.contiguous()}, folder / WEIGHTS_FILE)


def answer_mark(tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens after which an answer stands in a row that `RowEncoder` writes; empty where none are told."""
    if tokenizer.chat_template is None:
        return tuple(tokenizer("assistant:", add_special_tokens=False)["input_ids"])
    asked: Sequence[dict[str, str]] = [{"role": "user", "content": "x"}]
    before, after = (
        tokenizer(
            tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=begun), add_special_tokens=False
        )["input_ids"]
        for begun in (False, True)
    )
    return tuple(after[len(before) :]) if after[: len(before)] == before else ()
