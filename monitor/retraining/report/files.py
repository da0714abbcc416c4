"""The files a verdict rests on: which they are, and whether they still are what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from monitor.runs.artifact import artifact_sha256, file_sha256
from monitor.runs.policy import PolicyResult
from monitor.runs.refusal import REFUSAL
from monitor.runs.result import RESULT_FILE, RunResult
from monitor.runs.spec import SPEC_FILE, RunSpec


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file, or a model's folder, as a report names it."""

    purpose: str
    path: str  # absolute
    sha256: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class FileState:
    """What is left of one."""

    file: EvidenceFile
    state: str  # "same", "gone", or what it hashes to now


def list_files(folder: Path, spec: RunSpec, result: RunResult) -> Iterator[EvidenceFile]:
    """Yield what the run was given and what it left, with the hashes that were reported; its own two are hashed now."""
    for name, purpose in ((SPEC_FILE, "what was asked for"), (RESULT_FILE, "what the run reports")):
        if (folder / name).is_file():
            yield EvidenceFile(purpose, str(folder / name), file_sha256(folder / name))
    learnt = "judged answers" if result.role == REFUSAL else "preference pairs"
    given = {learnt: spec.preferences, "the baseline's traces": spec.rescore}
    models = {"champion": spec.champion, "candidate": result.candidate}
    if spec.policy is not None:
        given |= {"replayed prompts": spec.policy.replay, "prompts of the alarm": spec.policy.asked}
        given |= {"thumbs": spec.policy.feedback}
        given |= {f"suite {name}": suite for name, suite in spec.policy.suites.items()}
        models |= {"reward models that judged": spec.policy.scorer}
        if (reader := spec.policy.refusals) is not None:
            given["weights that read refusals"] = reader.weights
            models["reader of refusals"] = None if reader.folder is None else reader.folder.artifact
    given |= {"the baseline's traces, scored by the candidate": result.rescored}
    if isinstance(result, PolicyResult):
        given |= {f"answers, file {number}": file for number, file in enumerate(result.evidence, start=1)}
    for purpose, file in given.items():
        if file is not None:
            yield EvidenceFile(purpose, file.path, file.sha256, file.rows)
    for purpose, model in models.items():
        if model is not None:
            yield EvidenceFile(f"{purpose} {model.version}", model.path, model.sha256)


def check_files(page: str) -> tuple[FileState, ...]:
    """Hash again what *page* names, as far as it is still there."""
    listed = _Listed()
    listed.feed(page)
    return tuple(FileState(file, _state(file)) for file in listed.files)


def _state(file: EvidenceFile) -> str:
    path = Path(file.path)
    if not path.exists():
        return "gone"
    found = artifact_sha256(path) if path.is_dir() else file_sha256(path)
    return "same" if found == file.sha256 else found


class _Listed(HTMLParser):
    """Collects the rows that name a file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[EvidenceFile] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        path, sha256 = told.get("data-path"), told.get("data-sha256")
        if tag == "tr" and path and sha256:
            self.files.append(EvidenceFile(told.get("data-purpose") or "", path, sha256))
