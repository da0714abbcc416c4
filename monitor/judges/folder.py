"""A Hugging Face text-classification folder: its labels are checked at the start, its weights read when it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from monitor.domain.trace import Trace, prompt_of
from monitor.errors import InvalidSetting
from monitor.judges.folder_form import Floats, FolderForm
from monitor.runs.artifact import artifact_sha256, short_version


class Classifier(Protocol):
    def probabilities(self, rows: Sequence[tuple[str, str | None]]) -> Sequence[Floats | None]:
        """Return each row's probability by label, (labels,); None where a row cannot be read.

        A row is a text, or two that are read as a pair.
        """
        ...


class _Config(msgspec.Struct):
    id2label: dict[str, str] | None = None
    num_labels: int = 2
    problem_type: str | None = None


@dataclass(slots=True)
class FolderClassifier:
    """The classifier of a folder, for any thread; those that ask at once take turns."""

    form: FolderForm
    labels: tuple[str, ...]
    several: bool  # may hold at once
    version: str
    load: Callable[[FolderForm], Classifier]
    _loaded: Classifier | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, traces: Sequence[Trace]) -> list[Floats | None]:
        """Return the probabilities of the labels for each trace's answer; None where there is no whole answer."""
        found: list[Floats | None] = [None] * len(traces)
        answered = [number for number, trace in enumerate(traces) if trace.whole_response is not None]
        if not answered:
            return found
        rows = [self._row(traces[number]) for number in answered]
        with self._lock:
            if self._loaded is None:
                self._loaded = self.load(self.form)
            told = self._loaded.probabilities(rows)
        for number, probabilities in zip(answered, told, strict=True):
            found[number] = probabilities
        return found

    def columns(self, names: Collection[str], *, setting: str) -> list[int]:
        """Return the places of the labels *names*; raises `InvalidSetting` for one that the folder does not have."""
        unknown = [name for name in names if name not in self.labels]
        if unknown:
            raise InvalidSetting(
                f"{setting} names {unknown[0]!r}; the labels of {self.form.folder} are {', '.join(self.labels)}"
            )
        return [self.labels.index(name) for name in names]

    def _row(self, trace: Trace) -> tuple[str, str | None]:
        answer = trace.response or ""
        return (answer, None) if self.form.reads == "answer" else (prompt_of(trace.messages) or "", answer)


def open_folder(form: FolderForm, *, setting: str) -> FolderClassifier:
    """Return the classifier in a folder; raises `InvalidSetting` where it is none. Its weights are not read yet."""
    file = form.folder / "config.json"
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_Config)
    except OSError as error:
        raise InvalidSetting(
            f"{setting} = {str(form.folder)!r}: {error.strerror}; wanted a folder with a model's config.json"
        ) from None
    except msgspec.MsgspecError as error:
        raise InvalidSetting(f"{setting}: {file} cannot be read: {error}") from None
    names = config.id2label or {str(number): f"LABEL_{number}" for number in range(config.num_labels)}
    labels = tuple(names[number] for number in sorted(names, key=int))
    read = f"{form.reads}-{form.max_tokens}"
    several = config.problem_type == "multi_label_classification" or len(labels) == 1
    return FolderClassifier(form, labels, several, f"{short_version(artifact_sha256(form.folder))}-{read}", _load)


def _load(form: FolderForm) -> Classifier:
    from monitor.judges.huggingface import load_classifier  # noqa: PLC0415 - torch takes seconds to import

    return load_classifier(form)
