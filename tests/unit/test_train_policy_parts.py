"""What a policy's training decides before and beside TRL: recipes, weights, ranks, agreement, checkpoints."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monitor.demo.policies import END, build_tiny_policy
from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.runs.artifact import HashedFile
from monitor.runs.progress import read_progress
from retrain.chat import PolicyEncoder, load_policy_encoder
from retrain.checkpoint import CheckpointKey, claim_folder, latest_complete, link_folder, mark_complete, remove_others
from retrain.feedback import balance_weights, load_thumbs, split_thumbs
from retrain.language_model import takes_bf16
from retrain.launch import training_command
from retrain.measure_policy import agree_on_pairs, agree_on_thumbs
from retrain.on_policy import most_by_models, rank_answers
from retrain.policy_recipe import load_dpo_recipe, load_kto_recipe
from retrain.preferences import load_pairs
from retrain.progress import Progress
from retrain.replay import load_replay, untaught
from retrain.split import drop_tied
from tests.policies import feedback_rows, preference_rows, write_rows


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        pytest.param({"name": "kto"}, "recipe.name = 'kto'; wanted one of dpo, dpo_demo", id="another method's"),
        pytest.param({"bta": 0.1}, "recipe.bta = 0.1: Extra inputs are not permitted", id="a misspelt key"),
        pytest.param({"beta": 0}, "recipe.beta = 0: Input should be greater than 0", id="a value out of range"),
        pytest.param({"loss": "hinge"}, "recipe.loss = 'hinge': Input should be 'sigmoid'", id="an unknown loss"),
        pytest.param(
            {"label_smoothing": 0.1}, "the loss is sigmoid; wanted robust, or 0", id="an option of another loss"
        ),
        pytest.param({"lora": 1}, "recipe.lora = 1: Input should be a valid boolean", id="a wrong type"),
    ],
)
def test_a_broken_recipe_is_refused_by_key(recipe: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_dpo_recipe(recipe)
    assert named in str(refused.value)


def test_a_spec_changes_the_packaged_recipe() -> None:
    assert load_dpo_recipe({}).lora
    assert load_dpo_recipe({"name": "dpo_demo", "loss": "sigmoid_norm"}).by_token
    assert load_dpo_recipe({"loss": "robust", "label_smoothing": 0.1}).label_smoothing == 0.1
    with pytest.raises(InvalidInput, match=r"recipe\.batch_size = 1: .* greater than or equal to 2"):
        load_kto_recipe({"batch_size": 1})


def thumbs(folder: Path, rows: list[dict[str, Any]]) -> HashedFile:
    return write_rows(folder / "feedback.jsonl", rows)


def test_thumbs_are_split_like_pairs_and_weigh_alike_in_all(tmp_path: Path) -> None:
    rows = list(feedback_rows(300))
    for row in rows[:30]:
        row["conversation_id"] = "one"
    split = split_thumbs(load_thumbs(thumbs(tmp_path, rows)), held_out_ratio=0.3, seed=0)
    sides = [{thumb.answer.preference_id for thumb in side} for side in (split.train, split.held_out)]
    assert sum(map(len, sides)) == 300
    assert any({row["feedback_id"] for row in rows[:30]} <= side for side in sides)
    up, down = balance_weights([thumb.desirable for thumb in split.train])
    counted = sum(thumb.desirable for thumb in split.train)
    assert up == 1.0
    assert up * counted == pytest.approx(down * (len(split.train) - counted))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"desirable": None}, "desirable = None; wanted true or false", id="no thumb"),
        pytest.param({"response": 3}, "response = 3; wanted text", id="no answer"),
        pytest.param({"feedback_id": "t-1"}, "feedback_id 't-1' is there twice", id="one that is there twice"),
    ],
)
def test_a_thumb_that_cannot_be_read_is_named_by_its_line(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    rows = list(feedback_rows(3))
    rows[2] |= change
    with pytest.raises(InvalidInput) as refused:
        load_thumbs(thumbs(tmp_path, rows))
    assert str(refused.value) == f"{tmp_path / 'feedback.jsonl'}:3: {named}"


def test_thumbs_of_one_kind_teach_nothing(tmp_path: Path) -> None:
    found = load_thumbs(thumbs(tmp_path, [row | {"desirable": True} for row in feedback_rows(100)]))
    with pytest.raises(InvalidInput, match=r"thumbs up and 0 down held out; wanted some of both"):
        split_thumbs(found, held_out_ratio=0.3, seed=0)
    with pytest.raises(InvalidInput, match="3 thumbs up and 0 down to train on"):
        balance_weights([True] * 3)


def reward(*members: float) -> Reward:
    mean = float(np.mean(members))
    return Reward("scorer", members, mean, mean, float(np.std(members)))


def test_answers_are_ranked_where_the_ensemble_is_sure() -> None:
    rewards = [reward(1.0, 1.2), reward(-2.0, -1.0), None]
    found = rank_answers(rewards, ["a", "b", "c"], beta=1.0)
    assert found is not None
    assert (found.chosen, found.rejected) == (0, 1)
    assert (found.mean, found.lower) == pytest.approx((2.6, 2.2))
    assert rank_answers(rewards, ["a", "b", "c"], beta=7.0) is None, "its uncertainty spans them"
    assert rank_answers([reward(2.0), reward(1.0)], ["same", "same"], beta=1.0) is None
    assert rank_answers([reward(2.0), reward(1.0)], ["", "other"], beta=1.0) is None


@pytest.mark.parametrize(("ratio", "most"), [(0.0, 0), (0.5, 90), (0.9, 810), (0.1, 10)])
def test_models_may_judge_so_many_pairs(ratio: float, most: int) -> None:
    assert most_by_models(90, ratio) == most


def test_agreement_on_pairs_has_wilson_s_interval_and_counts_equal_scores_half() -> None:
    found = agree_on_pairs(np.array([1.0, 2.0, 0.0, 5.0]), np.array([0.0, 3.0, 0.0, 1.0]), ["a", "a", "b", "b"])
    assert found.accuracy == 0.625
    assert (found.lower, found.upper) == pytest.approx((0.219, 0.908), abs=0.001)
    assert found.by_cohort == {"a": 0.5, "b": 0.75}
    assert found.examples_by_cohort == {"a": 2, "b": 2}
    assert found.margin == 1.0


def test_agreement_on_thumbs_is_the_share_of_pairs_of_one_up_and_one_down() -> None:
    scores, up = np.array([3.0, 1.0, 2.0, 0.0, 1.0]), [True, True, False, False, False]
    found = agree_on_thumbs(scores, up, ["a", "b", "a", "b", "c"])
    assert found.accuracy == pytest.approx(4.5 / 6)
    assert found.by_cohort == {"a": 1.0, "b": 1.0}
    assert found.examples_by_cohort == {"a": 2, "b": 2, "c": 1}
    assert found.margin == pytest.approx(1.0)


def test_the_interval_on_thumbs_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    truth, inside = 0.5 * (1 + math.erf(0.5)), 0
    for _ in range(400):
        scores = np.concatenate([generator.normal(1.0, 1.0, 12), generator.normal(0.0, 1.0, 60)])
        found = agree_on_thumbs(scores, [True] * 12 + [False] * 60, ["a"] * 72)
        inside += found.lower <= truth <= found.upper
    assert inside >= 380


def test_prompts_like_those_held_out_are_dropped(tmp_path: Path) -> None:
    pairs = load_pairs(write_rows(tmp_path / "p.jsonl", list(preference_rows(20)))).pairs
    assert drop_tied(pairs[5:], pairs[:5]) == pairs[5:]
    assert drop_tied(pairs[3:], pairs[:5]) == pairs[5:]


def test_a_replay_leaves_out_conversations_and_prompts_that_were_learnt_from(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(40)]
    learnt = load_pairs(
        write_rows(
            tmp_path / "p.jsonl",
            [row | {"messages": [{"role": "user", "content": " ".join(words)}]} for row in preference_rows(1)],
        )
    ).pairs
    asked = {
        "the same prompt": (" ".join(words), None),
        "nearly the same": (" ".join([*words[:-1], "other"]), None),
        "another turn of the conversation": ("and then?", "c-0"),
        "another": ("where is my card?", "c-1"),
        "half of the words": (" ".join([*words[:20], *(f"new{number}" for number in range(20))]), None),
    }
    rows = [
        {"index": index, "trace_id": name, "conversation_id": conversation, "response": "yes", "cohort": "a"}
        | {"messages": [{"role": "user", "content": prompt}], "human": None}
        for index, (name, (prompt, conversation)) in enumerate(asked.items())
    ]
    replay = load_replay(write_rows(tmp_path / "r.jsonl", rows))
    assert [row.trace_id for row in untaught(replay, learnt)] == ["another", "half of the words"]
    assert untaught(replay, ()) == replay


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PolicyEncoder:
    folder = tmp_path_factory.mktemp("policy")
    words = " ".join(f"word{number}" for number in range(40))
    build_tiny_policy(folder, [([Message("user", words)], words)], seed=0, steps=0)
    return load_policy_encoder(folder, max_length=32)


def test_an_example_is_a_prompt_and_answers_that_end(encoder: PolicyEncoder) -> None:
    found = encoder.encode([Message("user", "word1")], ["word2", "word2 word3"])
    assert found is not None
    assert encoder.tokenizer.decode(found.prompt) == "<|im_start|>user\nword1<|im_end|>\n<|im_start|>assistant\n"
    assert [encoder.tokenizer.decode(ids) for ids in found.answers] == [f"word2{END}", f"word2 word3{END}"]
    assert encoder.decode(found.answers[1]) == "word2 word3"
    assert not found.truncated


def test_what_is_too_long_loses_the_prompt_s_beginning_and_is_told(encoder: PolicyEncoder) -> None:
    long = [Message("user", " ".join(f"word{number}" for number in range(40)))]
    found = encoder.encode(long, ["word2", "word3"])
    assert found is not None
    assert found.truncated
    assert len(found.prompt) + max(map(len, found.answers)) == 32
    assert encoder.tokenizer.decode(found.prompt).endswith("word39<|im_end|>\n<|im_start|>assistant\n")
    both = encoder.encode(long, [long[0].content, "word3"])
    assert both is not None
    assert (len(both.prompt), len(both.answers[0])) == (8, 24)
    assert encoder.prompt(long, room=10) == found.prompt[-22:]


def test_a_folder_without_a_chat_template_gets_a_plain_one(tmp_path: Path) -> None:
    build_tiny_policy(tmp_path, [([Message("user", "hello you")], "hello me")], seed=0, steps=0)
    (tmp_path / "chat_template.jinja").unlink()
    plain = load_policy_encoder(tmp_path, max_length=64)
    assert plain.plain
    found = plain.encode([Message("user", "hello you")], ["hello me"])
    assert found is not None
    assert plain.tokenizer.decode(found.prompt) == "user: hello you\nassistant:"
    assert plain.tokenizer.decode(found.answers[0]) == f" hello me{END}"


def test_a_prompt_that_the_template_refuses_is_no_example(encoder: PolicyEncoder, tmp_path: Path) -> None:
    assert encoder.encode([Message("user", "hello")], ["\ud800"]) is None
    with pytest.raises(InvalidInput, match="cannot be loaded as a Hugging Face policy"):
        load_policy_encoder(tmp_path, max_length=32)


def test_checkpoints_belong_to_one_key_and_what_another_left_is_removed_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert claim_folder(folder, CheckpointKey({"base": "a", "recipe": "b"})) is None
    (folder / "prepared.json").touch()
    assert claim_folder(folder, CheckpointKey({"base": "a", "recipe": "b"})) is None
    assert (folder / "prepared.json").exists()
    said = claim_folder(folder, CheckpointKey({"base": "a", "recipe": "other"}))
    assert said == "checkpoints of another training are removed; other: recipe"
    assert not (folder / "prepared.json").exists()
    (folder / "key.json").write_text("{half")
    said = claim_folder(folder, CheckpointKey({"base": "a"}))
    assert said == "checkpoints of another training are removed; other: no key"


def test_the_latest_whole_checkpoint_counts_and_half_ones_are_removed(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_text("weights")
    mark_complete(tmp_path / "checkpoint-10")
    mark_complete(tmp_path / "checkpoint-20")
    assert latest_complete(tmp_path) == tmp_path / "checkpoint-20"
    assert not (tmp_path / "checkpoint-30").exists()
    remove_others(tmp_path, {str(tmp_path / "checkpoint-20"), "None"})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-20"]
    assert latest_complete(tmp_path / "nowhere") is None


def test_files_are_there_twice_without_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "weights").write_text("w")
    link_folder(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one" / "weights").samefile(tmp_path / "other" / "weights")


def test_progress_tells_rate_and_time_left_of_late(tmp_path: Path) -> None:
    times = iter([0.0, 10.0, 12.0])
    progress = Progress(tmp_path / "progress.json", io.StringIO(), clock=lambda: next(times))
    progress.report("step 40", done=40, total=100, phase="training")  # it was resumed there
    first = read_progress(tmp_path / "progress.json")
    assert first is not None
    assert (first.rate, first.seconds_left, first.phase) == (None, None, "training")
    progress.report("step 50", done=50, loss=0.5)
    progress.report("step 52", done=52)
    last = read_progress(tmp_path / "progress.json")
    assert last is not None
    assert (last.rate, last.seconds_left, last.loss, last.total) == (1.0, 48.0, 0.5, 100)


def test_several_gpus_train_under_accelerate_and_several_cpu_processes_under_torchrun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = Path("/job-1/checkpoints/order.json")
    assert "torch.distributed.run --nproc_per_node 2" in " ".join(training_command(order, 2))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    told = " ".join(training_command(order, 4))
    assert "accelerate.commands.launch --multi_gpu --num_processes 4" in told
    assert told.endswith(f"--module retrain.train_step {order}")


@pytest.mark.parametrize(
    ("config", "native", "wanted"),
    [
        pytest.param('{"dtype": "bfloat16"}', True, True, id="kept in it, on a CPU with instructions for it"),
        pytest.param('{"torch_dtype": "bfloat16"}', True, True, id="by the name that older folders have"),
        pytest.param('{"dtype": "bfloat16"}', False, False, id="on a CPU without them, where it is slower"),
        pytest.param('{"dtype": "float32"}', True, False, id="kept in float32"),
        pytest.param("{}", True, False, id="whose config does not say"),
        pytest.param("no JSON", True, False, id="whose config cannot be read"),
    ],
)
def test_a_policy_computes_in_bfloat16_on_a_cpu_only_where_it_is_kept_so_and_is_faster(
    config: str, native: bool, wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(config)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert takes_bf16(tmp_path, torch.device("cpu")) == wanted
