"""Prompts embedded by a real encoder in this process, and by `backtest` with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from monitor.demo.models import build_tiny_base
from monitor.embedding import embedder_of
from monitor.embedding.huggingface import POOLING
from monitor.errors import InvalidInput
from monitor.observe.embedding import Embedded, Embedder
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.embedding import EmbeddingSettings
from tests.commands import Run
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import line, prompts, trace

WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")
PROMPTS = [" ".join(WORDS[: 1 + number % 10] * (1 + number // 10)) for number in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder of 32 numbers a token, and its tokenizer."""
    folder = tmp_path_factory.mktemp("encoder")
    build_tiny_base(folder, PROMPTS, seed=1)
    return folder


def load(folder: Path, missing: list[int] | None = None, **changes: Any) -> Embedder:
    settings = EmbeddingSettings(backend="huggingface", folder=folder, **{"device": "cpu", **changes})
    embedder = embedder_of(settings, on_missing=([] if missing is None else missing).append)
    assert embedder is not None
    return embedder


def vectors(embedder: Embedder, texts: Sequence[str | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    found = embedder.embed(prompts(texts))
    assert isinstance(found, Embedded)
    return found.vectors.astype(np.float64)


def states_of(folder: Path, prompt: str) -> torch.Tensor:
    """Return the last states of *prompt*'s tokens, (tokens, width)."""
    tokens = AutoTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")
    with torch.inference_mode():
        states: torch.Tensor = AutoModel.from_pretrained(folder)(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )[0][0]
    return states


def test_a_prompt_s_vector_is_the_mean_of_its_tokens_whatever_it_is_batched_with(folder: Path) -> None:
    together = vectors(load(folder, batch_tokens=64), PROMPTS)
    for index in (0, 7, 39):
        mean = states_of(folder, PROMPTS[index]).mean(0)
        assert np.allclose(together[index], (mean / mean.norm()).numpy(), atol=2e-3)
    assert np.allclose(together, vectors(load(folder), PROMPTS), atol=2e-3)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=2e-3)


def test_the_folder_says_how_tokens_become_a_vector(folder: Path) -> None:
    file = folder / POOLING
    file.parent.mkdir()
    try:
        file.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
        first = states_of(folder, PROMPTS[7])[0]
        assert np.allclose(vectors(load(folder), PROMPTS[7:8])[0], (first / first.norm()).numpy(), atol=2e-3)
        file.write_text(json.dumps({"pooling_mode_max_tokens": True}))
        with pytest.raises(InvalidInput, match="wants pooling_mode_max_tokens; known is one of"):
            load(folder)
        file.write_text("[1]")
        with pytest.raises(InvalidInput, match="cannot be read"):
            load(folder)
    finally:
        file.unlink()
        file.parent.rmdir()


def test_any_text_is_embedded_and_what_is_none_is_not(folder: Path) -> None:
    missing: list[int] = []
    hostile = ["half \ud83d a pair", "\x00", "word " * 400_000, "法" * 2_000_000, "\u202e😀"]
    found = vectors(load(folder, missing), [None, "", " \n", *hostile])
    assert np.isnan(found).any(axis=1).tolist() == [True] * 3 + [False] * 5
    assert missing == []


def test_a_prompt_that_breaks_the_model_is_alone_without_an_embedding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: list[int] = []
    embedder = load(folder, missing)
    forward = type(embedder._encoder).forward  # type: ignore[attr-defined]

    def breaking(encoder: Any, rows: Sequence[list[int]]) -> Any:
        if len(rows) > 8 or any(len(row) > 35 for row in rows):
            raise RuntimeError("no")
        return forward(encoder, rows)

    monkeypatch.setattr(type(embedder._encoder), "forward", breaking)  # type: ignore[attr-defined]
    lost = np.isnan(vectors(embedder, PROMPTS)).any(axis=1)
    assert 0 < lost.sum() < 10
    assert missing == [lost.sum()]


def test_a_version_names_the_model_the_length_and_the_projection(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    build_tiny_base(other, PROMPTS, seed=2)
    made = [load(folder), load(folder, max_tokens=16), load(folder, dimensions=8), load(other)]
    found = [embedder.embed(prompts(["a"])) for embedder in made]
    versions = [embedded.version for embedded in found if embedded is not None]
    assert len(set(versions)) == 4
    assert versions[2].endswith("/256/32to8")
    assert vectors(load(folder, dimensions=8), ["a"]).shape == (1, 8)


@pytest.mark.parametrize("content", ["", "{}", '{"model_type": "bert"}'])
def test_a_folder_that_is_no_encoder_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInput, match=r"wanted a folder with a model's config\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match="cannot be loaded as a sentence encoder"):
        load(tmp_path)


def test_backtest_reads_an_encoder_and_refuses_a_folder_that_is_none(run: Run, tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_bytes(b"\n".join(line(trace(number)) for number in range(60)))
    words = ("backtest", file, "--baseline", 30, "--device", "cpu", "--embedding")
    done = run(*words, folder)
    assert (done.code, done.out.splitlines()[-1]) == (0, "no alarm")
    done = run(*words, tmp_path)
    assert done.code != 0
    assert "wanted a folder with a model's config.json" in " ".join(done.err.split())


@pytest.mark.postgres
def test_the_daemon_logs_an_embedding_with_each_trace(kafka: Kafka, postgres_url: str, folder: Path) -> None:
    site = Site(kafka, postgres_url)
    settings, embedding = site.settings(), EmbeddingSettings(backend="huggingface", folder=folder, dimensions=8)
    ingest = settings.ingest.model_copy(update={"embedding": embedding})
    site.send([line(trace(number)) for number in range(250)])
    with running(settings.model_copy(update={"ingest": ingest})) as daemon:
        wait_for(lambda: site.count("trace") == 250, "the traces")
        wait_for(lambda: PostgresFoldStore(daemon._engine).place_entries().next_place == 250, "the places")
        known = PostgresFoldStore(daemon._engine).subjects(0, 250).covariates
    assert known is not None
    assert known.embedding is not None
    embedder = load(folder, dimensions=8)
    wanted = embedder.embed(prompts(f"Question {number}?" for number in range(250)))
    assert wanted is not None
    assert known.embedder == wanted.version
    assert np.allclose(known.embedding.astype(float), wanted.vectors.astype(float), atol=2e-3)
