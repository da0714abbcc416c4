"""The models: their folders hold a configuration, a tokenizer and weights whose headers can be read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from monitor.app.doctor.machine import readable
from monitor.app.wiring import http_scorer_of
from monitor.domain.checkup import Finding, fail, ok, warn
from monitor.errors import Unavailable
from monitor.runs.artifact import Artifact
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings

MAX_HEADER_BYTES = 100 << 20
ADVICE = "name a folder that holds config.json, tokenizer.json and *.safetensors, which this user may read"


def check_models(settings: Settings, champion: Artifact | None) -> Iterator[Finding]:
    """Yield what is found of each model that the settings name, and of the champion that workers load."""
    rewards = settings.rewards
    if rewards.backend == "none":
        yield ok("reward models", "none are asked for: rewards.backend = 'none'")
    elif rewards.backend == "http":
        yield _served(rewards)
    else:
        folders = list(rewards.models) if champion is None else _members(Path(champion.path))
        about = "reward model" if champion is None else "champion's member"
        if not folders:
            yield fail("reward models", "rewards.models names none, and none was promoted", "name the members' folders")
        for folder in folders:
            yield check_folder(f"{about} {folder}", folder)
    if settings.ingest.embedding.folder is not None:
        yield check_folder(f"sentence encoder {settings.ingest.embedding.folder}", settings.ingest.embedding.folder)
    if settings.signals.refusal.is_folder and isinstance(settings.signals.refusal.model, Path):
        yield check_folder(f"refusal model {settings.signals.refusal.model}", settings.signals.refusal.model)


def check_folder(about: str, folder: Path) -> Finding:
    """Read what is small of a model's folder: all but the weights themselves."""
    reason = readable(folder)
    if reason is not None or not folder.is_dir():
        return fail(about, reason or "it is no folder", ADVICE)
    weights, tokenizer = sorted(folder.glob("*.safetensors")), folder / "tokenizer.json"
    flaws = [f"{file.name}: {flaw}" for file in weights if (flaw := flaw_of_header(file)) is not None]
    if flaws:
        return fail(about, "; ".join(flaws), "copy the folder again: it is not whole")
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type", "of an unnamed kind")
        words = Tokenizer.from_file(str(tokenizer)).get_vocab_size() if tokenizer.exists() else None
    except Exception as error:  # noqa: BLE001 - the library of tokenizers raises nothing narrower
        return fail(about, f"config.json or tokenizer.json: {_short(error)}", ADVICE)
    if not weights:
        return fail(about, "it holds no weights as *.safetensors", ADVICE)
    if words is None:
        return warn(about, f"{kind}, without tokenizer.json", "a slow tokenizer may do; see that the folder is whole")
    return ok(about, f"{kind}, {len(weights)} file{'s' * (len(weights) != 1)} of weights, {words} tokens")


def flaw_of_header(file: Path) -> str | None:
    """Return what is wrong with a file of weights by its header and its size; None where nothing is."""
    try:
        size = file.stat().st_size
        with file.open("rb") as source:
            (length,) = struct.unpack("<Q", source.read(8))
            if length > min(size - 8, MAX_HEADER_BYTES):
                return f"its header is said to have {length} bytes, and the file has {size}"
            header = json.loads(source.read(length))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        return _short(error)
    wanted = 8 + length + max(ends, default=0)
    return None if size == wanted else f"it has {size} bytes, and its header tells of {wanted}"


def _served(rewards: RewardsSettings) -> Finding:
    about = f"reward servers {', '.join(endpoint.url for endpoint in rewards.endpoints)}"
    scorer = http_scorer_of(rewards.model_copy(update={"attempts": 1}))
    try:
        trouble = scorer.follow()
    except Unavailable as error:
        trouble = str(error)
    finally:
        scorer.close()
    if trouble is not None:
        return fail(about, trouble, "start them, or mend rewards.endpoints")
    return ok(about, f"they answer, as scorer {scorer.version}")


def _members(folder: Path) -> list[Path]:
    members = sorted(folder.glob("member-*"))
    return members or [folder]


def _short(error: Exception) -> str:
    return (getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__)[:200]
