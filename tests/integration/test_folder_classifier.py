"""Refusals by a text-classification folder, as Transformers saves it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.domain.trace import Message
from monitor.errors import InvalidInput, InvalidSetting
from monitor.judges.folder import open_folder
from monitor.judges.folder_form import FolderForm
from monitor.judges.refusal import FolderRefusal
from tests.traces import trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LABELS = {0: "answers", 1: "declines", 2: "hedges"}
SETTING = "signals.refusal"
TRACES = [
    trace(0, response="Here it is."),
    trace(1, response=None),
    trace(2, response="I cannot help with that, sorry. " * 40),
    trace(3, response="half \ud83d a pair"),
    trace(4, response="cut", truncated=True),
]


def save(folder: Path, **config: object) -> Path:
    """Save a small classifier with random weights and a tokenizer of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | {chr(97 + i): 4 + i for i in range(26)}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    shape = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, pad_token_id=0, id2label=LABELS, label2id={v: k for k, v in LABELS.items()},
        **config,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_config(shape)
        torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("classifier"))


def refusal(
    form: FolderForm, labels: tuple[str, ...] = ("declines", "hedges"), full: tuple[str, ...] = ("declines",)
) -> FolderRefusal:
    classifier = open_folder(form, setting=f"{SETTING}.model")
    return FolderRefusal(classifier, labels=labels, full_labels=full, setting=SETTING)


def test_a_folder_s_labels_say_how_surely_an_answer_refuses_as_transformers_own_pipeline_does(folder: Path) -> None:
    model = refusal(FolderForm(folder, device="cpu", max_tokens=64))
    found = model.read(TRACES)
    asked = transformers.pipeline("text-classification", model=str(folder), device="cpu", top_k=None, truncation=True)
    for number in (0, 2):
        told = {row["label"]: row["score"] for row in asked([TRACES[number].response], max_length=64)[0]}
        reading = found[number]
        assert reading is not None
        assert reading.probability == pytest.approx(told["declines"] + told["hedges"], abs=1e-5)
        assert reading.full == pytest.approx(told["declines"], abs=1e-5)
    assert [reading is None for reading in found] == [False, True, False, False, True]


def test_an_answer_is_read_alike_whatever_stands_beside_it(folder: Path) -> None:
    model = refusal(FolderForm(folder, device="cpu", batch_tokens=128))
    together, alone = model.read(TRACES), [model.read([item])[0] for item in TRACES]
    for one, other in zip(together, alone, strict=True):
        assert (one is None) == (other is None)
        assert one is None or (other is not None and one.probability == pytest.approx(other.probability, abs=1e-5))


def test_what_was_asked_counts_where_the_exchange_is_read(folder: Path) -> None:
    def read(form: FolderForm) -> list[float]:
        asked = [trace(0, response="no", messages=(Message("user", text),)) for text in ("may i", "why not")]
        return [round(reading.probability, 6) for reading in refusal(form).read(asked) if reading is not None]

    answer, exchange = FolderForm(folder, device="cpu"), FolderForm(folder, reads="exchange", device="cpu")
    assert len(set(read(answer))) == 1
    assert len(set(read(exchange))) == 2
    assert refusal(answer).version != refusal(exchange).version


def test_labels_that_may_hold_at_once_do_not_add_up(tmp_path: Path) -> None:
    save(tmp_path, problem_type="multi_label_classification")
    form = FolderForm(tmp_path, device="cpu")
    (reading,) = refusal(form).read(TRACES[:1])
    (told,) = open_folder(form, setting=SETTING).read(TRACES[:1])
    assert told is not None
    assert reading is not None
    assert reading.probability == pytest.approx(max(told[1], told[2]))
    assert not np.isclose(told.sum(), 1.0)


def test_a_label_that_the_folder_does_not_have_is_a_wrong_setting_that_names_those_it_has(folder: Path) -> None:
    with pytest.raises(
        InvalidSetting, match=r"\.labels names 'REFUSAL'; the labels of .* are answers, declines, hedges"
    ):
        refusal(FolderForm(folder), labels=("REFUSAL",))
    with pytest.raises(InvalidSetting, match=r"signals\.refusal\.full_labels names 'x'"):
        refusal(FolderForm(folder), full=("x",))


def test_a_folder_that_holds_no_model_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"signals\.refusal\.model = '.*nowhere': No such file"):
        refusal(FolderForm(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InvalidSetting, match=r"config\.json cannot be read"):
        refusal(FolderForm(tmp_path))


def test_a_folder_without_weights_for_its_head_is_told_when_it_is_first_read(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    transformers.AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match=r"has no weights for classifier\.bias, classifier\.weight"):
        refusal(FolderForm(tmp_path, device="cpu")).read(TRACES)


def test_other_weights_or_another_meaning_of_labels_is_another_version(folder: Path, tmp_path: Path) -> None:
    form = FolderForm(folder)
    versions = {refusal(form).version, refusal(form, labels=("declines",)).version, refusal(form, full=()).version}
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes() + (b"\n" if file.name == "config.json" else b""))
    versions |= {refusal(replace(form, folder=tmp_path)).version, refusal(replace(form, max_tokens=64)).version}
    assert len(versions) == 5
    assert refusal(form).version in versions
