"""Who reads refusals in a run: the model that reads those of production, from the files that the spec names."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import InvalidInput, InvalidSetting
from monitor.judges.folder import open_folder
from monitor.judges.folder_form import FolderForm
from monitor.judges.refusal import FolderRefusal
from monitor.runs.policy import RefusalReader
from monitor.signals.refusal import PatternRefusal, RefusalModel
from monitor.signals.refusal.learned import LearnedRefusal

SETTING = "policy.refusals"


def open_refusals(reader: RefusalReader | None) -> RefusalModel:
    """Return the model that *reader* names, the patterns for None.

    Raises `InvalidInput` where this program's version of it is another one: its readings would not compare.
    """
    if reader is None:
        return PatternRefusal()
    try:
        model = _open(reader)
    except InvalidSetting as wrong:
        raise InvalidInput(str(wrong)) from None
    if (model.version, model.threshold) != (reader.version, reader.threshold):
        raise InvalidInput(
            f"{SETTING}: this program reads refusals as {model.version} from {model.threshold:g} on, and the daemon as"
            f" {reader.version} from {reader.threshold:g} on; wanted one release of both"
        )
    return model


def _open(reader: RefusalReader) -> RefusalModel:
    if reader.weights is not None:
        return LearnedRefusal(Path(reader.weights.path))
    if reader.folder is None:
        return PatternRefusal()
    told = reader.folder
    form = FolderForm(Path(told.artifact.path), told.reads, told.max_tokens, told.batch_tokens)
    return FolderRefusal(
        open_folder(form, setting=f"{SETTING}.folder"),
        labels=told.labels,
        full_labels=told.full_labels,
        setting=SETTING,
        threshold=reader.threshold,
    )
