"""How far a scorer that has not changed moves its own scores, and how far one that has: `python -m ...anchor_noise`.

Real answers (../shared/data/alpaca_eval) are scored by encoders and decoders of random weights, 64 pairs a set. Each
row is one way of scoring them again: in other batches, at another precision, quantised, by another template, with
other weights. Shifts are told in the standard deviation of the first scores, as `drift.anchor` tells them.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForSequenceClassification

from monitor.demo.models import build_tiny_base
from monitor.domain.trace import Message
from monitor.rewards.huggingface import HuggingFaceEnsemble, Row, load_ensemble, quiet_transformers
from tests.benchmarks.refusal_rows import SHARED_DATA

PAIRS, SETS = 64, 2
MAX_TOKENS = 256


def answers() -> list[Row]:
    folder = SHARED_DATA / "alpaca_eval"
    with gzip.open(folder / "prompts.jsonl.gz", "rt", encoding="utf-8") as lines:
        prompts = [json.loads(line)["instruction"] for line in lines]
    with gzip.open(next(iter(sorted((folder / "outputs").iterdir()))), "rt", encoding="utf-8") as lines:
        outputs = [json.loads(line)["output"] for line in lines]
    return [((Message("user", prompt),), output) for prompt, output in zip(prompts, outputs, strict=True)]


def build_decoder(folder: Path, texts: list[str], *, seed: int, hidden: int, layers: int) -> None:
    """Write a Llama of random weights beside the encoder's tokenizer; its answer is read from the last token."""
    build_tiny_base(folder, texts, seed=seed)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=4000,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        num_labels=1,
        pad_token_id=0,
        initializer_range=0.04,
    )
    with quiet_transformers():
        LlamaForSequenceClassification(config).save_pretrained(folder)


def scores(ensemble: HuggingFaceEnsemble, rows: list[Row]) -> NDArray[np.float64]:
    return np.array([reward.mean if reward else np.nan for reward in ensemble.score(rows)])


def load(folder: Path, *, batch_tokens: int = 16_384) -> HuggingFaceEnsemble:
    return load_ensemble([folder], device="cpu", max_tokens=MAX_TOKENS, batch_tokens=batch_tokens, beta=1.0)


def changed(folder: Path, change: Callable[[torch.nn.Module], torch.nn.Module], **limits: int) -> HuggingFaceEnsemble:
    ensemble = load(folder, **limits)
    member = ensemble._members[0]
    object.__setattr__(member, "model", change(member.model))
    return ensemble


def quantised(bits: int) -> Callable[[torch.nn.Module], torch.nn.Module]:
    """Round every matrix to so many bits a weight, one scale a row: what a quantised replacement computes at best."""

    def quantise(model: torch.nn.Module) -> torch.nn.Module:
        with torch.no_grad():
            for weight in (weight for weight in model.parameters() if weight.ndim == 2):
                scale = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
                weight.copy_((weight / scale).round() * scale)
        return model

    return quantise


def nudged(share: float) -> Callable[[torch.nn.Module], torch.nn.Module]:
    def nudge(model: torch.nn.Module) -> torch.nn.Module:
        torch.manual_seed(1)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * weight.std() * share if weight.ndim == 2 else 0.0)
        return model

    return nudge


def ways(folder: Path) -> Iterator[tuple[str, HuggingFaceEnsemble]]:
    yield "float32, one row a batch", load(folder, batch_tokens=64)
    yield "bfloat16", changed(folder, lambda model: model.to(torch.bfloat16))
    yield "bfloat16, one row a batch", changed(folder, lambda model: model.to(torch.bfloat16), batch_tokens=64)
    yield "weights rounded to 8 bits", changed(folder, quantised(8))
    yield "weights rounded to 4 bits", changed(folder, quantised(4))
    yield "weights moved by 1% of their spread", changed(folder, nudged(0.01))
    yield "weights moved by 5%", changed(folder, nudged(0.05))
    template = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    yield "another chat template", load(folder)
    (folder / "chat_template.jinja").unlink()


MODELS = (("encoder", 64, 2), ("encoder", 256, 8), ("decoder", 256, 4), ("decoder", 512, 12))


def main() -> None:
    torch.set_num_threads(1)
    rows = answers()
    texts = [text for messages, output in rows for text in (messages[0].content, output)]
    rng = np.random.default_rng(0)
    sets = [[rows[index] for index in rng.choice(len(rows), PAIRS, replace=False)] for _ in range(SETS)]
    sys.stdout.write(
        "| model | scored again | mean, sd | root mean square, sd | largest, sd |\n|---|---|---|---|---|\n"
    )
    with TemporaryDirectory() as given:
        for name, hidden, layers in MODELS:
            folder = Path(given) / f"{name}-{layers}"
            build = build_tiny_base if name == "encoder" else build_decoder
            build(folder, texts, seed=layers, hidden=hidden, layers=layers)
            before = [scores(load(folder), pairs) for pairs in sets]
            for way, ensemble in ways(folder):
                after = [scores(ensemble, pairs) for pairs in sets]
                moved = [(again - first) / first.std() for again, first in zip(after, before, strict=True)]
                mean = max(abs(np.nanmean(move)) for move in moved)
                spread = max(float(np.sqrt(np.nanmean(move**2))) for move in moved)
                largest = max(float(np.nanmax(np.abs(move))) for move in moved)
                model = f"{name}, {layers} layers of {hidden}"
                sys.stdout.write(f"| {model} | {way} | {mean:.4f} | {spread:.4f} | {largest:.4f} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
