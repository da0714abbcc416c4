"""Prompts embedded by the reward model's own states, of a backbone that reads one way and of one that reads both."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    GPT2Config,
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
)

from monitor.app.wiring import Daemon
from monitor.demo.models import build_tiny_base
from monitor.domain.trace import Message, Trace
from monitor.embedding.huggingface_reward import RewardStates, prompt_tokens
from monitor.errors import InvalidSetting
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.step import Observer, ObserveRules
from monitor.postgres.streams import PostgresFoldStore
from monitor.rewards.huggingface import HuggingFaceEnsemble, load_ensemble
from monitor.rewards.turns import SharedScorer
from monitor.settings.embedding import EmbeddingSettings
from monitor.settings.ingest import IngestSettings
from monitor.settings.root import Settings
from tests.integration.test_rewards import text
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import line, prompts, trace

Vectors = np.ndarray[Any, np.dtype[np.float64]]
QUESTIONS = [text(3 + number % 30, number) for number in range(24)]
ANSWERS = [text(1 + 7 * number % 50, 100 + number) for number in range(24)]


@dataclass(frozen=True)
class Given:
    """What scores, as the daemon holds it."""

    ensemble: HuggingFaceEnsemble

    def current(self) -> HuggingFaceEnsemble:
        return self.ensemble

    def version(self) -> str:
        return self.ensemble.version


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both-ways")
    build_tiny_base(folder, [text(30, seed) for seed in range(50)], seed=1)
    return folder


@pytest.fixture(scope="module")
def one_way(both_ways: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with the other's tokenizer."""
    folder = tmp_path_factory.mktemp("one-way")
    for file in both_ways.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=4000, max_position_embeddings=512, num_labels=1, pad_token_id=0, **sizes)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder


def load(folder: Path, **changes: Any) -> HuggingFaceEnsemble:
    return load_ensemble([folder], **{"device": "cpu", "max_tokens": 128, "batch_tokens": 1024, "beta": 1.0, **changes})


def states_of(ensemble: HuggingFaceEnsemble) -> RewardStates:
    return RewardStates(lambda: ensemble, lock=threading.Lock(), dimensions=32)


def embedded(states: RewardStates, questions: Sequence[str], answers: Sequence[str | None]) -> Vectors:
    """Return the vectors of *questions* after those that have an answer were scored."""
    asked = [prompt or () for prompt in prompts(questions)]
    model = states.reward_model()
    assert model is not None
    model.score([(prompt, answer) for prompt, answer in zip(asked, answers, strict=True) if answer is not None])
    found = states.embed(asked)
    assert found is not None
    return found.vectors.astype(np.float64)


@pytest.mark.parametrize("kind", ["one_way", "both_ways"])
def test_a_prompts_vector_is_the_same_whatever_was_answered_and_whether(
    kind: str, request: pytest.FixtureRequest
) -> None:
    states = states_of(load(request.getfixturevalue(kind)))
    usual = embedded(states, QUESTIONS, ANSWERS)
    assert not np.isnan(usual).any()
    assert np.linalg.norm(usual, axis=1) == pytest.approx(1.0, abs=2e-3)
    assert len({tuple(vector) for vector in usual.round(2)}) == len(QUESTIONS)
    assert np.allclose(usual, embedded(states, QUESTIONS, ANSWERS[::-1]), atol=2e-3)
    assert np.allclose(usual, embedded(states, QUESTIONS, [None] * 24), atol=2e-3)
    assert np.allclose(
        usual, embedded(states, QUESTIONS, ["half \ud83d a pair", text(500, 7), *ANSWERS[2:]]), atol=2e-3
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (GPT2Config(n_embd=32, n_layer=4, n_head=2, bos_token_id=1, eos_token_id=2), "end"),
        (Qwen2Config(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=2), "end"),
        (BertConfig(hidden_size=32, num_hidden_layers=4, num_attention_heads=2), "mean"),
        (DebertaV2Config(hidden_size=32, num_hidden_layers=4, num_attention_heads=2), "mean"),
    ],
    ids=lambda value: getattr(value, "model_type", value),
)
def test_which_way_a_backbone_reads_is_found_by_trying(
    one_way: Path, tmp_path: Path, config: Any, kind: str, dtype: torch.dtype
) -> None:
    for file in one_way.glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config.update({"vocab_size": 4000, "num_labels": 1, "pad_token_id": 0, "intermediate_size": 64})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    ensemble = load(tmp_path)
    ensemble._members[0].model.to(dtype)
    states = states_of(ensemble)
    assert states.reward_model() is states
    found = states.embed(prompts(["refund"]))
    assert found is not None
    assert found.version.split("/")[1] == kind


def test_a_backbone_that_reads_one_way_is_not_asked_again(one_way: Path) -> None:
    ensemble = load(one_way)
    states = states_of(ensemble)
    assert states.reward_model() is states
    passes: list[int] = []
    ensemble.on_forward = lambda real, _padded: passes.append(real)
    embedded(states, QUESTIONS, ANSWERS)
    rows = [((Message("user", question),), answer) for question, answer in zip(QUESTIONS, ANSWERS, strict=True)]
    assert sum(passes) == sum(len(ids or ()) for ids in ensemble.encoders[0].encode(rows))


def test_the_vector_is_the_backbone_s_last_state_at_the_end_of_the_prompt(one_way: Path) -> None:
    ensemble = load(one_way)
    (ids,) = prompt_tokens(ensemble, [(Message("user", QUESTIONS[5]),)])
    model = AutoModelForSequenceClassification.from_pretrained(one_way)
    with torch.inference_mode():
        state = model.base_model(input_ids=torch.tensor([ids]))[0][0, -1]
    (found,) = embedded(states_of(ensemble), QUESTIONS[5:6], ANSWERS[5:6])
    assert np.allclose(found, (state / state.norm()).numpy(), atol=2e-3)


def test_scores_are_those_of_the_ensemble_alone(one_way: Path, both_ways: Path) -> None:
    rows = [((Message("user", question),), answer) for question, answer in zip(QUESTIONS, ANSWERS, strict=True)]
    for folder in (one_way, both_ways):
        watched = states_of(load(folder)).reward_model()
        assert watched is not None
        assert watched.score(rows) == load(folder).score(rows)


def test_another_thread_may_score_with_the_same_ensemble(one_way: Path) -> None:
    ensemble, stop = load(one_way), threading.Event()
    shared = SharedScorer(Given(ensemble))
    states = RewardStates(lambda: ensemble, lock=shared.lock, dimensions=32)
    alone = embedded(states, QUESTIONS, ANSWERS)

    def score() -> None:
        while not stop.is_set() and (turn := shared.current()) is not None:
            turn.score([((Message("user", "refund"),), "wait")])

    thread = threading.Thread(target=score)
    thread.start()
    found = [embedded(states, QUESTIONS, [None, *ANSWERS[1:]]) for _ in range(5)]
    stop.set()
    thread.join()
    assert all(np.allclose(vectors, alone, atol=2e-3) for vectors in found)


def test_a_prompt_longer_than_the_model_reads_has_the_vector_of_its_end(one_way: Path) -> None:
    long = text(400, 3)
    first, second = embedded(states_of(load(one_way)), [long, "Tell me. " + long], [ANSWERS[0], None])
    assert np.allclose(first, second, atol=2e-3)


def test_each_champion_makes_a_version_of_its_own_and_none_makes_no_vector(one_way: Path, both_ways: Path) -> None:
    current: list[HuggingFaceEnsemble] = []
    missing: list[int] = []
    states = RewardStates(
        lambda: current[-1] if current else None, lock=threading.Lock(), dimensions=16, on_missing=missing.append
    )
    assert states.reward_model() is None
    assert states.embed(prompts(["a", None])) is None
    assert missing == [1]
    versions = []
    for folder in (one_way, both_ways):
        current.append(load(folder))
        assert states.reward_model() is states
        found = states.embed(prompts(["a", None]))
        assert found is not None
        assert np.isnan(found.vectors).any(axis=1).tolist() == [False, True]
        versions.append(found.version)
    kinds = [f"{ensemble.version}/{kind}" for ensemble, kind in zip(current, ("end", "mean"), strict=True)]
    assert versions == [f"reward-{kind}/128/32to16" for kind in kinds]


def test_an_observing_step_embeds_every_prompt_an_error_s_too(one_way: Path) -> None:
    states = states_of(load(one_way))
    rules = ObserveRules()
    observer = Observer(
        rules,
        names=InMemoryCohortNames(50),
        repeats=InMemoryRepeats(rules.repeat_window),
        reward_model=states.reward_model,
        embedder=states,
    )
    failed = structs.replace(trace(1), response=None, error="timed out")
    traces: list[Trace] = [trace(0), failed, trace(2), trace(2, trace_id="again"), trace(4, messages=())]
    observed = observer.observe(traces)
    known = observed.entry.subjects.decoded
    assert known is not None
    assert known.embedding is not None
    assert np.isnan(known.embedding).any(axis=1).tolist() == [False, False, False, True, True]
    assert [item.reward is None for item in observed.traces] == [False, True, False, False, False]


@pytest.mark.postgres
def test_the_daemon_logs_the_states_of_its_champion(
    kafka: Kafka, postgres_url: str, one_way: Path, tmp_path: Path
) -> None:
    member = tmp_path / "member"
    shutil.copytree(one_way, member)
    site = Site(kafka, postgres_url, reward_model=member)
    settings, embedding = site.settings(), EmbeddingSettings(backend="reward", dimensions=8)
    ingest = settings.ingest.model_copy(update={"embedding": embedding})
    site.send([line(trace(number)) for number in range(150)])
    with running(settings.model_copy(update={"ingest": ingest})) as daemon:
        store = PostgresFoldStore(daemon._engine)
        wait_for(lambda: site.count("score") == 150, "the scores")
        wait_for(lambda: store.place_entries().next_place == 150, "the places")
        known = store.subjects(0, 150).covariates
    assert known is not None
    assert known.embedding is not None
    assert known.embedder is not None
    assert known.embedder.startswith("reward-")
    assert known.embedding.shape == (150, 8)
    assert not np.isnan(known.embedding).any()


def test_the_daemon_refuses_states_of_a_reward_model_that_is_not_in_its_process(postgres_url: str) -> None:
    settings = Settings(ingest=IngestSettings(embedding=EmbeddingSettings(backend="reward")))
    with pytest.raises(InvalidSetting, match=r"wants rewards\.backend = 'huggingface' and not 'none'"):
        Daemon(settings)
