"""Pages are read by people whose first language is another: nine sentences in ten are short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.prose import CEILING, ninetieth_percentile, pages, sentences, words
from tests.real_kafka import ROOT


@pytest.mark.parametrize("page", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in pages()])
def test_nine_sentences_in_ten_keep_to_the_ceiling(page: Path) -> None:
    assert ninetieth_percentile(page.read_text(encoding="utf-8")) <= CEILING, "python -m tests.architecture.prose"


def test_running_text_alone_is_counted() -> None:
    page = (
        "# A heading\n\nOne `or two` words. Then [a link](far/away.md)!\n\n- an item\n\n| a | table |\n\n```\ncode\n```"
    )
    assert [words(sentence) for sentence in sentences(page)] == [3, 3, 2]
