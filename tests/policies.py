"""A tiny policy, and what people say of its answers: they prefer short ones."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.demo.models import build_tiny_base
from monitor.demo.policies import build_tiny_policy
from monitor.domain.job import Action
from monitor.domain.trace import Message
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256, short_version
from monitor.runs.policy import PolicyInputs, PolicyResult
from monitor.runs.result import RESULT_FILE, read_result
from monitor.runs.spec import RunSpec, write_spec

TOPICS = ("card", "refund", "invoice", "parcel", "flight", "password", "doctor", "printer")
ASKS = ("how do I change", "where is", "can I cancel", "why was charged", "who looks after", "when comes")
SHORT = "open settings and choose {topic} then press the button"
TAUGHT, REPLAYED = 16, 12  # prompts of an order's replay that its pairs ask too, and that both policies answer
PADDING = "what a great question there are many aspects to consider on this journey of insight"


def asked(number: int) -> list[dict[str, str]]:
    """Return a prompt; few others share its words."""
    generator = random.Random(number)
    words = " ".join(
        f"{generator.choice(ASKS)} {generator.choice(TOPICS)} {generator.randrange(1000)}" for _ in range(2)
    )
    return [{"role": "user", "content": words}]


def short_answer(number: int) -> str:
    return SHORT.format(topic=TOPICS[number % len(TOPICS)])


def long_answer(number: int) -> str:
    return f"{PADDING} and {SHORT.format(topic=TOPICS[number % len(TOPICS)])} as many others do perhaps"


def preference_rows(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "preference_id": f"p-{number}",
            "conversation_id": f"c-{number}",
            "messages": asked(number),
            "chosen": short_answer(number),
            "rejected": long_answer(number),
            "cohort": f"product={'billing' if number % 4 else 'travel'}",
            "timestamp": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat(),
        }


def feedback_rows(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        up = number % 3 == 0
        yield {
            "feedback_id": f"t-{number}",
            "conversation_id": None,
            "messages": asked(number),
            "response": short_answer(number) if up else long_answer(number),
            "desirable": up,
            "cohort": "product=billing",
            "timestamp": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat(),
        }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> HashedFile:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return HashedFile(str(path), file_sha256(path), len(rows))


def artifact_of(folder: Path) -> Artifact:
    sha256 = artifact_sha256(folder)
    return Artifact(short_version(sha256), str(folder), sha256)


def policy_order(folder: Path, *, action: Action = Action.DPO, pairs: int = 240, steps: int = 150) -> RunSpec:
    """Fill *folder* with a champion that answers now short and now long, pairs or thumbs, and a scorer."""
    conversations = [
        ([Message("user", asked(number)[0]["content"])], short_answer(number) if number % 2 else long_answer(number))
        for number in range(200)
    ]
    build_tiny_policy(folder / "policy", conversations, seed=0, steps=steps)
    for member in range(2):
        build_tiny_base(folder / "scorer" / f"member-{member}", [answer for _, answer in conversations], seed=member)
    judged = [(f"p-{n}", n) for n in range(TAUGHT)]  # production saw the first pairs' prompts too
    replay = [
        {"index": index, "trace_id": name, "messages": asked(n), "response": long_answer(n)}
        | {"cohort": "product=billing", "human": None, "conversation_id": None}
        for index, (name, n) in enumerate([*judged, *((f"r-{n}", 10_000 + n) for n in range(REPLAYED))])
    ]
    alarmed = [
        {"index": n, "trace_id": f"a-{n}", "messages": asked(20_000 + n if n else 10_000), "cohort": "product=billing"}
        for n in range(25)  # the first one is replayed too
    ]
    champion = artifact_of(folder / "policy")
    return RunSpec(
        job_id=1,
        action=action,
        base_model=champion.path,
        champion=champion,
        preferences=write_rows(folder / "preferences.jsonl", list(preference_rows(pairs))),
        rescore=None,
        recipe={"name": f"{action}_demo"},
        seed=3,
        output="",
        policy=PolicyInputs(
            scorer=artifact_of(folder / "scorer"),
            temperature=1.0,
            lower_beta=1.0,
            replay=write_rows(folder / "replay.jsonl", replay),
            replayed=REPLAYED,
            asked=write_rows(folder / "asked.jsonl", alarmed),
            feedback=write_rows(folder / "feedback.jsonl", list(feedback_rows(pairs))),
        ),
    )


def command(spec: RunSpec, folder: Path) -> list[str]:
    """Write the spec into *folder* and return the command that carries it out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_spec(folder / "spec.json", spec)
    return [sys.executable, "-m", "retrain", "--spec", str(folder / "spec.json")]


def carry_out(spec: RunSpec, folder: Path) -> tuple[PolicyResult, str]:
    """Run to the end; return its result and its log."""
    found = subprocess.run(command(spec, folder), capture_output=True, text=True, timeout=300, check=False)
    log = found.stdout + found.stderr
    assert found.returncode == 0, log
    result = read_result(folder / RESULT_FILE, PolicyResult)
    assert isinstance(result, PolicyResult), result
    return result, log
