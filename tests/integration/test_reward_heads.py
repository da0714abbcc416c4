"""Several heads on one backbone: scored in one pass, served, gathered, and refused where their files do not fit."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from monitor.demo.models import build_tiny_base
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.rewards.champion import gather_artifact
from monitor.rewards.classify import ClassifyRequest
from monitor.rewards.folders import member_hashes
from monitor.rewards.huggingface import HuggingFaceEnsemble, Row, load_encoder, load_ensemble, quiet_transformers
from monitor.rewards.huggingface_heads import answer_mark, save_heads
from monitor.rewards.scoring import score_together
from monitor.rewards.served import ServedEnsemble
from monitor.runs.artifact import artifact_sha256
from monitor.runs.heads import BACKBONE_FOLDER, FORM_FILE, WEIGHTS_FILE, HeadsForm, write_form

WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")
HIDDEN, LAYERS, MEMBERS = 16, 2, 3
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


ROWS: list[Row] = [((Message("user", text(1 + n % 20, n)),), text(1 + n % 30, n + 1)) for n in range(30)]


def load(*folders: Path, **changes: Any) -> HuggingFaceEnsemble:
    settings: dict[str, Any] = {"device": "cpu", "max_tokens": 128, "batch_tokens": 512, "beta": 1.0}
    return load_ensemble(folders, **settings | changes)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three members and the head of one dimension, at random."""
    folder = tmp_path_factory.mktemp("heads")
    backbone = folder / BACKBONE_FOLDER
    build_tiny_base(backbone, [text(30, seed) for seed in range(50)], seed=1, hidden=HIDDEN, layers=LAYERS)
    mark = answer_mark(load_encoder(backbone, max_tokens=128).tokenizer)
    write_form(folder, HeadsForm(members=MEMBERS, layers=(1, 2), answer_mark=mark, dimensions=("tone",)))
    generator = torch.Generator().manual_seed(2)
    save_heads(
        folder,
        torch.randn(MEMBERS + 1, 2 * HIDDEN + 1, generator=generator),
        torch.randn(MEMBERS + 1, generator=generator),
    )
    return folder


@pytest.fixture
def broken(heads: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(heads, tmp_path / "broken"))


def by_hand(heads: Path, row: Row, ids: list[int], answer: int) -> np.ndarray[Any, Any]:
    """Return what each output says of *row*, whose last *answer* tokens are its answer's."""
    with quiet_transformers():
        backbone = AutoModel.from_pretrained(heads / BACKBONE_FOLDER).eval()
    with torch.inference_mode():
        states = backbone(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    means = [states[layer][0, -answer:].mean(0) for layer in (1, 2)]
    features = torch.cat([*means, torch.log(torch.tensor([1.0 + answer]))])
    weights = load_file(heads / WEIGHTS_FILE)
    return np.asarray((weights["weight"] @ features + weights["bias"]).double())


def test_each_head_is_a_member_that_reads_the_answer_s_states(heads: Path) -> None:
    ensemble = load(heads)
    encoder = ensemble.encoders[0]
    prompt, response = ROWS[7]
    ids = encoder.encode([ROWS[7]])[0]
    assert ids is not None
    answer = len(encoder.tokenizer(f" {response}", add_special_tokens=False)["input_ids"]) + 1  # and the end's token
    expected = by_hand(heads, ROWS[7], ids, answer)

    reward = ensemble.score([ROWS[7]])[0]

    assert reward is not None
    assert reward.members == pytest.approx(expected[:MEMBERS], abs=1e-5)
    assert reward.mean == pytest.approx(expected[:MEMBERS].mean(), abs=1e-5)
    assert len(ensemble.members) == MEMBERS
    assert ensemble.score_dimensions([ROWS[7]])["tone"][0] == pytest.approx(expected[MEMBERS], abs=1e-5)
    assert prompt == ROWS[7][0]


def test_all_heads_cost_one_pass_and_a_score_does_not_depend_on_its_batch_mates(heads: Path) -> None:
    ensemble = load(heads)
    told: list[int] = []
    ensemble.on_forward = lambda real, _padded: told.append(real)

    together = ensemble.score(ROWS)

    assert sum(told) == sum(len(ids or ()) for ids in ensemble.encoders[0].encode(ROWS))
    for joint, row in zip(together, ROWS, strict=True):
        single = ensemble.score([row])[0]
        assert joint is not None
        assert single is not None
        assert joint.members == pytest.approx(single.members, abs=1e-5)
    assert len({round(reward.mean, 3) for reward in together if reward}) > 20


def test_a_row_that_cannot_be_scored_has_no_reward_by_any_head(heads: Path) -> None:
    ensemble = load(heads)

    rewards = ensemble.score([ROWS[0], ((Message("user", "a lone surrogate"),), "\ud800"), ROWS[1]])

    assert [reward is None for reward in rewards] == [False, True, False]
    assert ensemble.score([]) == []
    assert ensemble.failures == {"tokenizer": 1}


def test_heads_and_a_model_of_their_own_are_one_ensemble(heads: Path, tmp_path: Path) -> None:
    build_tiny_base(tmp_path / "single", [text(30, seed) for seed in range(50)], seed=5)

    artifact = gather_artifact([heads, tmp_path / "single"], tmp_path)

    mixed, alone = load(Path(artifact.path)), load(heads)
    assert mixed.passes == ((0, 1, 2), (3,))
    reward, part = mixed.score(ROWS[:1])[0], alone.score(ROWS[:1])[0]
    assert reward is not None
    assert part is not None
    assert reward.members[:MEMBERS] == pytest.approx(part.members, abs=1e-6)


def test_heads_are_used_where_they_lie(heads: Path, tmp_path: Path) -> None:
    artifact = gather_artifact([heads], tmp_path)

    assert artifact.path == str(heads)
    assert artifact.sha256 == artifact_sha256(heads)
    assert list(tmp_path.iterdir()) == []


def test_a_server_scores_all_heads_in_one_pass_and_lists_each_under_a_name_of_its_own(heads: Path) -> None:
    ensemble = load(heads)
    served = ServedEnsemble(ensemble, name="reward", member_sha256=member_hashes(heads))
    told: list[int] = []
    ensemble.on_forward = lambda real, _padded: told.append(real)
    texts = ["user: refund\nassistant: wait three days", "user: open\nassistant: press"]
    whole = served.encode(ClassifyRequest(None, texts, activation=False, truncate_to=-1))
    second = served.encode(ClassifyRequest("member-1", texts[:1], activation=False, truncate_to=-1))

    scores = score_together(served, [whole, second])

    assert len(told) == 1
    assert len({model.id for model in served.models}) == 1 + MEMBERS
    assert scores[0].shape == (MEMBERS, 2)
    assert scores[1][0] == pytest.approx(scores[0][1, :1], abs=1e-6)
    assert whole.token_count == told[0] - second.token_count
    expected = ensemble.score([((Message("user", "refund"),), "wait three days")])[0]
    assert expected is not None
    assert scores[0][:, 0] == pytest.approx(expected.members, abs=1e-5)


def test_the_mark_of_a_chat_template_is_what_opens_the_answer(heads: Path, broken: Path) -> None:
    (broken / BACKBONE_FOLDER / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    tokenizer = load_encoder(broken / BACKBONE_FOLDER, max_tokens=128).tokenizer

    assert tokenizer.decode(answer_mark(tokenizer)) == "<assistant>"
    plain = load_encoder(heads / BACKBONE_FOLDER, max_tokens=128).tokenizer
    assert plain.decode(answer_mark(plain)) == "assistant:"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"layers": (1, 9)}, "has 2 layers; the heads read layer 9", id="a layer that there is not"),
        pytest.param({"members": 4}, r"holds \(4, 33\); wanted weight and bias, \(5, 33\)", id="a head too few"),
        pytest.param({"members": 0}, "members = 0", id="no member"),
    ],
)
def test_heads_that_do_not_fit_their_backbone_are_refused(broken: Path, change: dict[str, Any], named: str) -> None:
    form = HeadsForm(members=MEMBERS, layers=(1, 2), answer_mark=(), dimensions=("tone",))
    write_form(broken, replace(form, **change))

    with pytest.raises(InvalidInput, match=named):
        load(broken)


def test_files_that_were_cut_off_are_named(broken: Path) -> None:
    save_file({"weight": torch.zeros(4, 33)}, broken / WEIGHTS_FILE)
    with pytest.raises(InvalidInput, match=r"heads\.safetensors holds \['weight'\]"):
        load(broken)
    (broken / FORM_FILE).write_text("{")
    with pytest.raises(InvalidInput, match=r"ensemble\.json"):
        load(broken)
