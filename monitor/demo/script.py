"""What the demo plays: how much of which traffic, at what pace, and the settings it plays against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from monitor.demo.preferences import Era, preferences
from monitor.demo.traffic import DRIFTED, LAUNCH, NORMAL, traffic
from monitor.domain.trace import Preference

TRACES_TOPIC, PREFERENCES_TOPIC, DEAD_LETTERS_TOPIC = "traces", "preferences", "traces.dead-letters"
PER_SECOND = 350.0
DRIFTED_PER_SECOND = 200.0  # what is sent until the alarm is seen is work for those who wait for it
ASKED_PER_SECOND = 60.0  # while the released policy is asked: a release that goes wrong goes on answering
TRICKLE_PER_SECOND = 20.0
STEP = timedelta(seconds=2)  # between two traces, in their own time
BASELINE_TRACES = 2000
QUIET_RECORDS = 1000
LAUNCH_RECORDS = 600
DRIFTED_RECORDS = 3000  # at most: the story goes on with the alarm
PEOPLE_RECORDS = 600
ANNOTATORS = ("ada", "bruno", "chen")
JUDGED_RATIO = 0.3
# The demo's minutes bring as many traces as a day of a million would: the day's budget must not bind.
REVIEW = {"floor_ratio": JUDGED_RATIO, "disputed_ratio": JUDGED_RATIO, "daily_budget": 1_000_000, "key": "demo"}
RELEASED, DRIFTING = NORMAL.policy_model, DRIFTED.policy_model
REASKED_PROMPTS = 400
OLD_PAIRS, NEW_PAIRS = 900, 600
AVERAGE_RUN_LENGTH = 10_000.0
COHORT_KEYS = ("product",)
SEED = 11
POLICY_NAME = "assistant"
POLICY_PAIRS = 200  # of people's, at least, before the policy is trained
REPLAYED_PROMPTS = 300  # answers are drawn: of 100, two equal policies differ in length by 15% now and then
# Whole sentences are the toy's tokens, and it loops where it was asked what it was never taught. Its smallest cohort
# has 40 prompts: at twice the margins one equal candidate in ten would fail there.
TOY_MARGINS = {
    "length_margin": 0.6,
    "repetition_margin": 0.2,
    "format_margin": 0.2,
    "min_items": 30,
    "cohort_factor": 3.0,
}
BAKE_TRACES, BAKE_PER_SECOND = 400, 240.0
WEBHOOK_SECRET = "demo"  # noqa: S105 - of a server that lives as long as the demo


def demo_settings(
    *,
    bootstrap_servers: str,
    api_version: tuple[int, int],
    postgres_url: str,
    folder: Path,
    champion: Path,
    port: int,
    policy_url: str,
    retrain: dict[str, Any],
) -> dict[str, Any]:
    """Return the settings of the demo's daemon, as a YAML file would hold them."""
    return {
        "kafka": {
            "bootstrap_servers": bootstrap_servers,
            "api_version": api_version,
            "trace_topics": [TRACES_TOPIC],
            "preference_topic": PREFERENCES_TOPIC,
            "dead_letter_topic": DEAD_LETTERS_TOPIC,
            "session_timeout_seconds": 6,
        },
        "postgres": {"url": postgres_url, "pool_size": 10},
        "ingest": {"cohort_keys": COHORT_KEYS, "batch_max_seconds": 0.5},
        "rewards": {"backend": "huggingface", "models": [champion], "max_tokens": 256},
        "drift": {
            "average_run_length": AVERAGE_RUN_LENGTH,
            "baseline_traces": BASELINE_TRACES,
            "fold_seconds": 0.5,
            "reference": {"endpoint": policy_url, "max_prompts": REASKED_PROMPTS, "patience_seconds": 60},
        },
        "labels": {"baseline_labels": 300, "block_traces": 32},
        "review": REVIEW,
        "retrain": retrain,
        "web": {"port": port} | ({"public_url": f"http://127.0.0.1:{port}"} if port else {}),
    }


def retrain_settings(
    *, folder: Path, recipe: Path, policy: Path, policy_recipe: Path, platform_url: str
) -> dict[str, Any]:
    """Return what answers an alarm: a refresh of the reward models first, and the policy once people were heard."""
    return {
        "folder": folder / "retrain",
        "base_model": folder / "base",
        "recipe": recipe,
        "rules": [
            {
                "signals": ["response_length", "refusal", "reward"],
                "action": "reward_refresh",
                "approval": "automatic",
                "min_new_pairs": NEW_PAIRS // 2,
            },
            {
                "signals": ["win_rate"],
                "action": "dpo",
                "approval": "manual",
                "min_new_pairs": POLICY_PAIRS,
            },
        ],
        "policy": {
            "model": policy,
            "name": POLICY_NAME,
            "recipe": policy_recipe,
            "replay_min": REPLAYED_PROMPTS,
            "replay_max": REPLAYED_PROMPTS,
        },
        "gate": {
            # Texts of templates are told apart by words alone, and the first ensemble never saw what it must unlearn.
            "baseline_margin": -0.05,
            "anchor_agreement": 0.6,
            "policy": TOY_MARGINS,
        },
        "announcements": {"webhook": platform_url, "webhook_secret": WEBHOOK_SECRET},
        "bake": {"traces": BAKE_TRACES},
    }


def old_pairs(now: datetime) -> list[Preference]:
    """Return the verdicts the first ensemble is trained on."""
    return list(preferences(Era.OLD, count=OLD_PAIRS, seed=SEED, start=now - timedelta(days=60), step=STEP))


def new_pairs(now: datetime) -> Iterator[Preference]:
    """Yield the reviewers' verdicts on the drifted answers."""
    return preferences(Era.NEW, count=NEW_PAIRS, seed=SEED, start=now, step=timedelta(seconds=1))


def baseline_traffic(now: datetime) -> Iterator[bytes]:
    """Yield normal traffic that lasts until the baseline is frozen, and ends in the past."""
    records = BASELINE_TRACES + BASELINE_TRACES // 20  # some are duplicates or no traces at all
    start = now - (records + QUIET_RECORDS + LAUNCH_RECORDS + DRIFTED_RECORDS + PEOPLE_RECORDS) * STEP
    return traffic(NORMAL, count=records, seed=SEED, start=start, step=STEP, shadow=NORMAL)


def quiet_traffic(now: datetime) -> Iterator[bytes]:
    start = now - (QUIET_RECORDS + LAUNCH_RECORDS + DRIFTED_RECORDS + PEOPLE_RECORDS) * STEP
    return traffic(replace(NORMAL, name="quiet"), count=QUIET_RECORDS, seed=SEED, start=start, step=STEP, shadow=NORMAL)


def launch_traffic(now: datetime) -> Iterator[bytes]:
    """Yield other questions to the assistant that answers as before."""
    start = now - (LAUNCH_RECORDS + DRIFTED_RECORDS + PEOPLE_RECORDS) * STEP
    return traffic(LAUNCH, count=LAUNCH_RECORDS, seed=SEED, start=start, step=STEP, shadow=NORMAL)


def drifted_traffic(now: datetime) -> Iterator[bytes]:
    start = now - (DRIFTED_RECORDS + PEOPLE_RECORDS) * STEP
    return traffic(DRIFTED, count=DRIFTED_RECORDS, seed=SEED, start=start, step=STEP, shadow=NORMAL)


def people_traffic(now: datetime) -> Iterator[bytes]:
    """Yield more of the drifted traffic, until people's verdicts are enough."""
    start, phase = now - PEOPLE_RECORDS * STEP, replace(DRIFTED, name="people")
    return traffic(phase, count=PEOPLE_RECORDS, seed=SEED, start=start, step=STEP, shadow=NORMAL)


def endless_traffic(
    now: datetime, policy_model: str = DRIFTING, *, per_second: float = TRICKLE_PER_SECOND
) -> Iterator[bytes]:
    """Yield traffic in real time, for as long as somebody watches: of the drifted assistant, or of a repaired one.

    People go on judging the drifted one.
    """
    like, shadow = (DRIFTED, NORMAL) if policy_model == DRIFTING else (replace(NORMAL, policy_model=policy_model), None)
    hourly, step = int(3600 * per_second), timedelta(seconds=1.0 / per_second)
    for part in count():
        start = now + part * timedelta(hours=1)
        phase = replace(like, name=f"after-{policy_model}-{part}")
        yield from traffic(phase, count=hourly, seed=SEED, start=start, step=step, shadow=shadow)
