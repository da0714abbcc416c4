"""A run reads refusals as its daemon does: by the same files, or not at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from monitor.app.policy import refusal_reader_of
from monitor.app.signals import refusal_model_of
from monitor.domain.job import Action
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.retraining.run_folder import collect_result
from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.fsspec_store import FsspecStore, get_attempt, put_attempt
from monitor.runs.policy import PolicyInputs
from monitor.runs.result import RESULT_FILE, write_result
from monitor.runs.spec import RunSpec, read_spec, write_spec
from monitor.settings.refusal import RefusalSettings
from monitor.signals.refusal import counted_by, read_answers
from monitor.signals.refusal.weights import SHIPPED, read_weights, write_weights
from retrain.refusal_reader import open_refusals
from tests.comparisons import an_equal_candidate

EVASION = (
    (Message("user", "How do I cook rice?"),),
    "It is important to respect others. Please consult a professional.",
)


def spec_of(folder: Path, settings: RefusalSettings) -> RunSpec:
    nothing = HashedFile(str(folder / "none"), "00", 0)
    scorer = Artifact("v1", str(folder), "00")
    inputs = PolicyInputs(scorer=scorer, temperature=1.0, lower_beta=1.0, replay=nothing)
    return RunSpec(
        job_id=1,
        action=Action.DPO,
        base_model=str(folder),
        champion=None,
        preferences=nothing,
        rescore=None,
        recipe={},
        seed=1,
        output=str(folder / "output"),
        policy=replace(inputs, refusals=refusal_reader_of(folder, settings)),
    )


@pytest.mark.parametrize("chosen", ["learned", "patterns"])
def test_a_run_reads_by_the_files_of_its_order_what_production_reads(chosen: str, tmp_path: Path) -> None:
    settings = RefusalSettings.model_validate({"model": chosen})
    write_spec(tmp_path / "spec.json", spec_of(tmp_path, settings))
    given = read_spec(tmp_path / "spec.json").policy
    assert given is not None
    assert given.refusals is not None
    model, ours = open_refusals(given.refusals), refusal_model_of(settings)
    assert counted_by(model) == counted_by(ours) == given.refusals.counted_by
    assert read_answers(model, [EVASION]) == read_answers(ours, [EVASION])
    assert (given.refusals.weights is not None) is (chosen == "learned")


def test_weights_of_one_s_own_state_from_which_probability_an_answer_refuses(tmp_path: Path) -> None:
    weights, _ = read_weights(SHIPPED)
    card = {**weights.card, "threshold": 0.8}
    write_weights(tmp_path / "own.json.gz", msgspec.structs.replace(weights, card=card))
    (tmp_path / "job").mkdir()
    reader = refusal_reader_of(tmp_path / "job", RefusalSettings(model=tmp_path / "own.json.gz"))
    assert reader.threshold == 0.8
    assert open_refusals(reader).threshold == 0.8


def test_a_program_that_reads_otherwise_than_its_daemon_is_refused(tmp_path: Path) -> None:
    reader = refusal_reader_of(tmp_path, RefusalSettings())
    with pytest.raises(InvalidInput, match=r"reads refusals as learned-.* and the daemon as learned-0"):
        open_refusals(replace(reader, version="learned-0"))
    with pytest.raises(InvalidInput, match=r"from 0\.5 on, and the daemon .* from 0\.9 on"):
        open_refusals(replace(reader, threshold=0.9))


def test_a_result_whose_refusals_were_read_otherwise_than_ordered_is_not_believed(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, RefusalSettings())
    assert spec.policy is not None
    assert spec.policy.refusals is not None
    good = replace(an_equal_candidate(), refusals=spec.policy.refusals.counted_by)
    write_result(tmp_path / RESULT_FILE, good)
    assert collect_result(tmp_path, spec, exit_code=0, last_words=None) == good
    write_result(tmp_path / RESULT_FILE, replace(good, refusals="patterns-1@0.5"))
    with pytest.raises(InvalidInput, match=r"refusals were read by patterns-1@0\.5; its spec wants learned-"):
        collect_result(tmp_path, spec, exit_code=0, last_words=None)


def test_a_pod_without_a_shared_volume_is_given_the_weights_with_their_hash(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")

    inputs, attempt = tmp_path / "job-1" / "inputs", tmp_path / "job-1" / "attempt-1"
    for folder in (inputs, attempt):
        folder.mkdir(parents=True)
    (inputs / "none").write_bytes(b"")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    spec = spec_of(inputs, RefusalSettings())
    assert spec.policy is not None
    scorer = replace(spec.policy.scorer, path=str(tmp_path / "base"))
    policy = replace(spec.policy, scorer=scorer)
    write_spec(attempt / "spec.json", replace(spec, base_model=str(tmp_path / "base"), policy=policy))
    store = FsspecStore(f"file://{tmp_path / 'store'}", {})
    put_attempt(store, attempt, "token")
    shutil.rmtree(tmp_path / "job-1")

    given = get_attempt(store, attempt, "token").policy
    assert given is not None
    assert given.refusals is not None
    assert given.refusals.weights is not None
    assert Path(given.refusals.weights.path).is_relative_to(attempt)
    assert counted_by(open_refusals(given.refusals)) == given.refusals.counted_by
