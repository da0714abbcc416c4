"""A policy's folder answers and reads: no row depends on those beside it, and what it cannot do it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from monitor.demo.policies import build_tiny_policy
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from retrain.generate import Answer, Decoding, OwnNoise, TransformersPolicy

TEXT = "open the settings of your account and choose the card then press the button below it"
WORDS = TEXT.split(" ")
ASKED = [[Message("user", " ".join(WORDS[: 1 + number % 9]) + f" {number}?")] for number in range(24)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that is taught answers of many lengths, and not for long."""
    path = tmp_path_factory.mktemp("policy") / "policy"
    taught = [(asked, " ".join(WORDS[number % 5 : 6 + number % 9])) for number, asked in enumerate(ASKED)]
    build_tiny_policy(path, taught, seed=0, steps=30, hidden=32, learning_rate=5e-3)
    return path


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_those_it_is_generated_with(folder: Path, temperature: float) -> None:
    policy = TransformersPolicy.load(folder)
    told: list[int] = []
    together = policy.answer(ASKED, Decoding(16, temperature, seed=4, batch_tokens=16_384), told.append)
    alone = policy.answer(ASKED, Decoding(16, temperature, seed=4, batch_tokens=1))
    assert together == alone
    assert told[-1] == len(ASKED)
    other = policy.answer(ASKED, Decoding(16, temperature, seed=5, batch_tokens=16_384))
    assert (other == together) is (temperature == 0.0)


def test_a_draw_is_of_the_policy_s_law_at_the_temperature_and_a_row_that_has_ended_draws_no_more() -> None:
    rows, end = 4000, 3
    noise = OwnNoise(Decoding(16, 2.0, seed=4, batch_tokens=1), range(rows), {end})
    logits = torch.tensor([2.0, 0.0, 1.0, -1.0])
    wanted = torch.softmax(logits / 2.0, 0)
    ids = torch.full((rows, 1), end)  # a prompt may end with what ends an answer
    for _ in range(2):
        drawn = noise(ids, logits.repeat(rows, 1))
        shares = torch.bincount(drawn.argmax(1), minlength=4) / rows
        assert (shares - wanted).abs().max() < 0.04, "five standard errors"
        ids = torch.zeros((rows, 1), dtype=torch.long)
    before = noise(ids, logits.repeat(rows, 1))
    ids[: rows // 2] = end
    changed = (noise(ids, logits.repeat(rows, 1)) != before).all(1)
    assert changed.tolist() == [False] * (rows // 2) + [True] * (rows // 2)


def test_a_long_prompt_and_a_long_limit_stay_within_what_the_policy_can_read(folder: Path) -> None:
    policy = TransformersPolicy.load(folder)
    asked = [[Message("user", " ".join(WORDS * 60))], ASKED[0]]
    answers = policy.answer(asked, Decoding(4_000, 1.0, seed=1, batch_tokens=16_384))
    assert all(isinstance(answer, Answer) for answer in answers)
    assert answers == policy.answer(asked, Decoding(384, 1.0, seed=1, batch_tokens=16_384))


def test_reading_is_the_mean_of_what_the_model_gives_each_token_its_end_included(folder: Path) -> None:
    rows = [(asked, " ".join(WORDS[: 2 + number])) for number, asked in enumerate(ASKED[:8])]
    found = TransformersPolicy.load(folder).read(rows)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for (asked, response), read in zip(rows, found, strict=True):
        turns = [{"role": "user", "content": asked[0].content}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        whole = tokenizer(prompt + response + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logs = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
        nats = [-float(logs[place - 1, whole[place]]) for place in range(len(before), len(whole))]
        assert read is not None
        assert read[1] == len(nats)
        assert read[0] == pytest.approx(sum(nats) / len(nats), rel=1e-4)


def test_a_folder_without_a_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        TransformersPolicy.load(tmp_path)
