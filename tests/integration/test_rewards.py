from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from monitor.demo.models import build_tiny_base
from monitor.domain.trace import Message
from monitor.errors import InvalidInput, InvalidSetting
from monitor.observe.scoring import RewardRule, score_traces
from monitor.rewards.champion import gather_artifact
from monitor.rewards.ensemble import MissingScore, combine_members
from monitor.rewards.huggingface import HuggingFaceEnsemble, Row, load_encoder, load_ensemble
from monitor.runs.artifact import artifact_sha256
from tests.traces import trace

WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
)


def text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def row(prompt: str, response: str, *, role: str = "user") -> Row:
    return (Message(role, prompt),), response


def load(*folders: Path, **changes: Any) -> HuggingFaceEnsemble:
    settings: dict[str, Any] = {"device": "cpu", "max_tokens": 128, "batch_tokens": 1_024, "beta": 1.0}
    return load_ensemble(folders, **settings | changes)


def means(ensemble: HuggingFaceEnsemble, rows: Sequence[Row]) -> list[float]:
    rewards = ensemble.score(rows)
    return [np.nan if reward is None else reward.mean for reward in rewards]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three members with one tokenizer and different weights."""
    folder = tmp_path_factory.mktemp("ensemble")
    texts = [text(30, seed) for seed in range(50)]
    for number in range(3):
        build_tiny_base(folder / f"member-{number}", texts, seed=number)
    return folder


@pytest.fixture
def member(artifact: Path, tmp_path: Path) -> Path:
    """A member of its own, to be broken."""
    return Path(shutil.copytree(artifact / "member-0", tmp_path / "member"))


MIXED = [row(text(1 + seed % 40, seed), text(1 + seed % 60, seed + 1)) for seed in range(60)]


def test_a_score_does_not_depend_on_its_batch_mates(artifact: Path) -> None:
    ensemble = load(artifact)

    together = ensemble.score(MIXED)
    alone = [ensemble.score([one])[0] for one in MIXED]

    for joint, single in zip(together, alone, strict=True):
        assert joint is not None
        assert single is not None
        assert joint.members == pytest.approx(single.members, abs=1e-5)
    assert len({round(reward.mean, 3) for reward in together if reward}) > 30


def test_a_reward_holds_every_members_score_their_mean_bound_and_spread(artifact: Path) -> None:
    reward = load(artifact, beta=2.0).score(MIXED[:1])[0]
    singles = [means(load(artifact / f"member-{number}"), MIXED[:1])[0] for number in range(3)]

    assert reward is not None
    assert reward.members == pytest.approx(singles, abs=1e-5)
    assert reward.mean == pytest.approx(np.mean(singles), abs=1e-5)
    assert reward.disagreement == pytest.approx(np.std(singles), abs=1e-5)
    assert reward.lower == pytest.approx(reward.mean - 2 * reward.disagreement, abs=1e-6)


def test_every_forward_pass_is_told_with_its_real_and_its_padded_tokens(member: Path) -> None:
    ensemble = load(member, batch_tokens=64)
    told: list[tuple[int, int]] = []
    ensemble.on_forward = lambda real, padded: told.append((real, padded))
    rows = [row(text(4, seed), text(3 + 5 * seed, seed)) for seed in range(6)]
    ensemble.score(rows)
    tokens = [len(ids or ()) for ids in ensemble.encoders[0].encode(rows)]
    assert sum(real for real, _ in told) == sum(tokens)
    assert len(told) > 1
    assert all(real <= padded <= 64 for real, padded in told)


def test_one_member_does_not_disagree_with_itself(artifact: Path) -> None:
    reward = load(artifact / "member-1").score(MIXED[:1])[0]

    assert reward is not None
    assert (reward.disagreement, reward.lower) == (0.0, reward.mean)


def test_a_missing_members_score_is_named_and_not_imputed() -> None:
    scores = np.array([[0.1, 0.2], [0.3, np.nan]])

    with pytest.raises(MissingScore, match="member 'member-1' has no finite score for row 1"):
        combine_members(scores, members=["member-0", "member-1"], scorer_version="v", beta=1.0)


def test_the_version_is_the_contents_hash(artifact: Path, member: Path) -> None:
    assert artifact_sha256(artifact).startswith(load(artifact).version)
    assert load(member).version == load(artifact / "member-0").version
    assert load(member).version != load(artifact / "member-1").version
    assert load(member, version="released").version == "released"


def test_the_same_texts_and_seed_build_the_same_model(artifact: Path, tmp_path: Path) -> None:
    build_tiny_base(tmp_path / "again", [text(30, seed) for seed in range(50)], seed=0)

    assert artifact_sha256(tmp_path / "again") == artifact_sha256(artifact / "member-0")


def test_a_long_prompt_loses_its_beginning_and_the_response_stays_whole(artifact: Path) -> None:
    encoder = load_encoder(artifact / "member-0", max_tokens=32)
    response = "press refund then wait three days"

    tokens = encoder.encode([row(text(500, 1), response)])[0]

    assert tokens is not None
    assert len(tokens) == 32
    assert tokens[0] == encoder.tokenizer.cls_token_id
    assert encoder.tokenizer.decode(tokens, skip_special_tokens=True).endswith(f"\nassistant: {response}")


def test_a_row_the_tokenizer_refuses_has_no_reward_and_its_mates_keep_theirs(artifact: Path) -> None:
    ensemble = load(artifact)
    rows = [*MIXED[:7], row("a lone surrogate", "\ud800"), *MIXED[7:20]]

    rewards = ensemble.score(rows)

    assert [index for index, reward in enumerate(rewards) if reward is None] == [7]
    assert means(ensemble, MIXED[:20]) == pytest.approx([one.mean for one in rewards if one], abs=1e-5)
    assert ensemble.failures == {"tokenizer": 3}  # one of each member


def test_a_row_that_breaks_its_batch_is_found_and_given_up_alone(
    artifact: Path, member: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = load(member)
    model = ensemble._members[0].model
    poison = ensemble._members[0].encoder.encode(MIXED[5:6])[0]
    assert poison is not None
    forward = model.forward

    def poisoned(input_ids: torch.Tensor, **rest: Any) -> Any:
        if any(ids[: len(poison)].tolist() == poison for ids in input_ids):
            raise RuntimeError("this row breaks the kernel")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(model, "forward", poisoned)
    rewards = ensemble.score(MIXED)

    assert [index for index, reward in enumerate(rewards) if reward is None] == [5]
    assert ensemble.failures == {"forward": 1}


def test_a_score_that_is_not_finite_is_no_reward(member: Path) -> None:
    ensemble = load(member)
    encoder, model = ensemble._members[0].encoder, ensemble._members[0].model
    rare = encoder.tokenizer("~", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        model.get_input_embeddings().weight[rare] = torch.inf

    rewards = ensemble.score([*MIXED[:4], row("what?", "~"), *MIXED[4:8]])

    assert [index for index, reward in enumerate(rewards) if reward is None] == [4]
    assert ensemble.failures == {"not_finite": 1}


def test_a_lack_of_memory_halves_the_batch_and_loses_no_row(member: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = load(member)
    expected = means(ensemble, MIXED)
    model = ensemble._members[0].model
    forward = model.forward

    def cramped(input_ids: torch.Tensor, **rest: Any) -> Any:
        if input_ids.numel() > 400:
            raise torch.OutOfMemoryError("too much")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(model, "forward", cramped)

    assert means(ensemble, MIXED) == pytest.approx(expected, abs=1e-5)
    assert ensemble.batch_tokens == 256
    assert not ensemble.failures


def test_a_chat_template_writes_the_conversation_and_may_refuse_a_role(member: Path) -> None:
    plain = means(load(member), MIXED[:3])
    (member / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    ensemble = load(member)
    encoder = ensemble._members[0].encoder

    tokens = encoder.encode([row("why?", "because")])[0]

    assert encoder.tokenizer.decode(tokens) == "<user>why?\n<assistant>because\n"
    assert means(ensemble, MIXED[:3]) != pytest.approx(plain, abs=1e-3)
    assert np.isnan(means(ensemble, [MIXED[0], row("a tool's answer", "well", role="tool")])).tolist() == [False, True]


def test_an_opinion_is_the_mean_over_members_of_how_surely_each_prefers_the_answer(artifact: Path) -> None:
    ensemble = load(artifact)
    answers = [trace(n, response=text(8, n), reference_response=text(9, 50 + n)) for n in range(6)]
    unpaired, unreadable = trace(6), trace(7, reference_response="\ud800")
    found = score_traces([*answers, unpaired, unreadable], ensemble, RewardRule(temperature=lambda _version: 0.5))

    for item, scored in zip(answers, found, strict=False):
        own, other = ensemble.score([(item.messages, said or "") for said in (item.response, item.reference_response)])
        assert own is not None
        assert other is not None
        margins = np.subtract(own.members, other.members) / 0.5
        assert scored.opinion is not None
        assert scored.opinion.win == pytest.approx(float(np.mean(1.0 / (1.0 + np.exp(-margins)))), abs=1e-5)
        assert scored.opinion.scorer_version == ensemble.version
    assert [scored.opinion for scored in found[6:]] == [None, None]
    assert all(scored.reward is not None for scored in found)


def test_no_rows_have_no_rewards(artifact: Path) -> None:
    assert load(artifact).score([]) == []


def test_a_classifier_with_two_outputs_is_refused_by_folder_and_number(member: Path) -> None:
    config = json.loads((member / "config.json").read_text())
    labels = {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    (member / "config.json").write_text(json.dumps(config | labels))

    with pytest.raises(InvalidInput, match=r"member: config.json says num_labels = 2, and a reward model has 1"):
        load(member)


def test_a_checkpoint_without_a_reward_head_is_refused(member: Path) -> None:
    weights = load_file(member / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, member / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(InvalidInput, match=r"no weights for classifier.weight"):
        load(member)


def test_an_ensemble_with_a_gap_among_its_members_is_refused(artifact: Path, tmp_path: Path) -> None:
    shutil.copytree(artifact, tmp_path / "gap")
    shutil.rmtree(tmp_path / "gap" / "member-1")

    with pytest.raises(InvalidInput, match="holds member-0, member-2: a reward model has"):
        load(tmp_path / "gap")


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="/nowhere: no such folder"):
        load(Path("/nowhere"))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", "cpu:"])
def test_a_device_that_is_not_there_is_named(artifact: Path, device: str) -> None:
    with pytest.raises(InvalidSetting, match=f"device '{device}' is not"):
        load(artifact, device=device)


def test_a_weights_file_that_was_cut_off_is_named(member: Path) -> None:
    weights = member / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InvalidInput, match="member cannot be loaded as a Hugging Face reward model: "):
        load(member)


def test_models_gathered_again_leave_the_folder_a_worker_reads_as_it_is(artifact: Path, tmp_path: Path) -> None:
    folders = [artifact / "member-0", artifact / "member-1"]
    first = gather_artifact(folders, tmp_path)
    before = Path(first.path).stat().st_ino
    assert gather_artifact(folders, tmp_path) == first
    assert Path(first.path).stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == [f"given-{first.version}"]
