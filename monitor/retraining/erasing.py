"""What runs were given, and what they left, taken off the disk where it holds texts that are to be erased."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from monitor.domain.erasure import SubjectTexts
from monitor.domain.text import for_html_lines
from monitor.retraining.report.page import REPORT_FILE
from monitor.retraining.run_folder import INPUTS_FOLDER

LEAST_CHARACTERS = 24  # of a text that is looked for within a page; shorter ones stand in anybody's
QUOTED_CHARACTERS = 200  # of it: a page cuts what is long


def quotes(page: bytes, texts: SubjectTexts) -> bool:
    """Say whether a report's *page* (gzip) holds one of *texts*, or the beginning of one that is long."""
    return _quotes(gzip.decompress(page), _needles(texts))


class RunFiles:
    """`retrain.folder` as this host sees it."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    def holding(self, texts: SubjectTexts) -> dict[int, tuple[Path, ...]]:
        """Return each job's files that hold one of *texts*."""
        jobs = (path for path in sorted(self._root.glob("job-*")) if path.is_dir())
        found = {int(job.name.removeprefix("job-")): tuple(_holding(job, texts)) for job in jobs}
        return {job_id: files for job_id, files in found.items() if files}

    def remove(self, found: Mapping[int, Sequence[Path]]) -> None:
        """Remove the files, and a job's inputs together: a later attempt gathers them anew.

        Models are not touched, though they learnt from what is removed.
        """
        for job_id, files in found.items():
            for path in files:
                path.unlink(missing_ok=True)
            inputs = self._root / f"job-{job_id}" / INPUTS_FOLDER
            if any(path.is_relative_to(inputs) for path in files):
                shutil.rmtree(inputs, ignore_errors=True)


def _holding(job: Path, texts: SubjectTexts) -> Iterator[Path]:
    """Yield the job's files that hold one of *texts*: rows of texts, and the pages that quote them."""
    wanted, needles = texts.all, _needles(texts)
    for path in sorted(job.rglob("*.jsonl")):
        if _has_one(path, wanted):
            yield path
    for path in sorted(job.rglob(REPORT_FILE)):
        if _quotes(path.read_bytes(), needles):
            yield path


def _has_one(path: Path, wanted: frozenset[str]) -> bool:
    with path.open("rb") as file:
        for line in file:
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # a row that broke off, or of something else
            if not wanted.isdisjoint(_strings(row)):
                return True
    return False


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _needles(texts: SubjectTexts) -> list[bytes]:
    long = (text[:QUOTED_CHARACTERS] for text in texts.answers | texts.prompts if len(text) >= LEAST_CHARACTERS)
    return [for_html_lines(text).encode() for text in long]


def _quotes(page: bytes, needles: Collection[bytes]) -> bool:
    return any(needle in page for needle in needles)
