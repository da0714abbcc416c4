"""The models once more: loaded as the daemon loads them, on the device of the settings, and asked one thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from monitor.app.rewards import load_rewards
from monitor.app.signals import refusal_model_of
from monitor.domain.checkup import Finding, fail, ok
from monitor.domain.trace import Message, Trace
from monitor.runs.artifact import Artifact
from monitor.settings.refusal import RefusalSettings
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings

ASKED = (Message("user", "Where is my order?"),)
ANSWERED = "I am sorry, I cannot help with that."
ADVICE = "look at its files, at the device, and at the memory that is left there"


def check_loading(settings: Settings, champion: Artifact | None) -> Iterator[Finding]:
    """Yield how long each model takes until it has answered; one that does not is a failure, whatever is wrong."""
    rewards = settings.rewards
    folders = rewards.models if champion is None else (Path(champion.path),)
    if rewards.backend == "huggingface" and folders:
        yield _timed("reward ensemble", lambda: _reward(rewards, folders))
    yield _timed("refusal weights", lambda: _refusal(settings.signals.refusal))


def _timed(about: str, use: Callable[[], str]) -> Finding:
    started = time.perf_counter()
    try:
        told = use()
    except Exception as error:  # noqa: BLE001 - drivers and the files' libraries raise anything
        found = " ".join(str(error).split()) or type(error).__name__
        return fail(about, f"it does not load: {found[:300]}", ADVICE)
    return ok(about, f"{told}, {time.perf_counter() - started:.1f} s")


def _reward(rewards: RewardsSettings, folders: tuple[Path, ...]) -> str:
    ensemble = load_rewards(rewards, folders)
    (reward,) = ensemble.score([(ASKED, ANSWERED)])
    if reward is None:
        raise ValueError("it is loaded, and could not score an answer")
    return f"scorer {ensemble.version} is loaded on {rewards.device} and has scored an answer"


def _refusal(settings: RefusalSettings) -> str:
    model = refusal_model_of(settings)
    trace = Trace(
        trace_id="doctor", timestamp=datetime.now(UTC), policy_model="doctor", messages=ASKED, response=ANSWERED
    )
    (reading,) = model.read([trace])
    if reading is None:
        raise ValueError("it is loaded, and could not read an answer")
    return f"model {model.version} is loaded and has read an answer"
