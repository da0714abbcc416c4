"""A text classification model from a local Hugging Face folder as a signal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec import structs

from monitor.domain.signal import SignalKind
from monitor.domain.trace import Trace
from monitor.errors import InvalidInput, InvalidSetting
from monitor.extra import require
from monitor.judges.folder import FolderClassifier, open_folder
from monitor.judges.folder_form import FolderForm
from monitor.own.answer import Answer, BatchRead, Failed, number_of
from monitor.own.texts import text_reader
from monitor.settings.own import OwnSignal

FileState = tuple[str, int, int]


def classifier_of(own: OwnSignal) -> FolderClassifier:
    """Return the classifier of *own*, one for all who ask in this process until its files change.

    Raises `InvalidSetting` where the folder is none, or what runs it is not installed. Its weights are not read yet.
    """
    setting = f"signals.own.{own.name}.classifier"
    assert own.classifier is not None
    for package in ("torch", "transformers"):
        require("gpu", package, setting)
    if not own.classifier.is_dir():
        raise InvalidSetting(f"{setting} = {str(own.classifier)!r}: no such folder")
    form = FolderForm(own.classifier, max_tokens=own.max_tokens, device=own.device)
    files = sorted(path for path in own.classifier.rglob("*") if path.is_file())
    return _opened(form, tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=16)
def _opened(form: FolderForm, _files: tuple[FileState, ...]) -> FolderClassifier:
    return open_folder(form, setting="signals.own[].classifier")


def read_classifier(own: OwnSignal, _kind: SignalKind) -> BatchRead:
    """Return the reader of *own*; raises `InvalidSetting` as `classifier_of` does, and for an unknown label."""
    classifier = classifier_of(own)
    [column] = classifier.columns([own.label or ""], setting=f"signals.own.{own.name}.label")
    return ClassifierSignal(own, classifier, column).read


class ClassifierSignal:
    """The label's probability. Where the weights cannot be loaded every trace fails, and it is not tried again."""

    def __init__(self, own: OwnSignal, classifier: FolderClassifier, column: int) -> None:
        self._text_of = text_reader(own.field)
        self._classifier, self._column = classifier, column
        self._trouble: Failed | None = None

    def read(self, traces: Sequence[Trace]) -> list[Answer]:
        texts = [self._text_of(trace) for trace in traces]
        asked = [row for row, text in enumerate(texts) if text is not None]
        answers: list[Answer] = [None] * len(traces)
        if not asked:
            return answers
        if self._trouble is None:
            try:
                told = self._classifier.read(
                    [structs.replace(traces[row], response=texts[row], truncated=False) for row in asked]
                )
            except InvalidInput as error:
                self._trouble = Failed(f"it cannot be loaded: {error}")
        for number, row in enumerate(asked):
            if self._trouble is not None:
                answers[row] = self._trouble
            elif (found := told[number]) is None:
                answers[row] = Failed("the classifier cannot read the text")
            else:
                answers[row] = number_of(float(found[self._column]), SignalKind.PROBABILITY)
        return answers
