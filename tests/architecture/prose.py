"""How long a page's sentences are: `python -m tests.architecture.prose` lists the long ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.real_kafka import ROOT

CEILING = 25  # words, which nine sentences in ten keep to
# Made by programs from descriptions that stand in the code.
GENERATED = ("docs/settings.md", "docs/metrics.md")

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ", re.MULTILINE)
_END = re.compile(r"(?<=[.!?])[*_)\"']*\s+")


def pages() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [path for path in found if path.relative_to(ROOT).as_posix() not in GENERATED]


def sentences(markdown: str) -> Iterator[str]:
    """Yield the sentences of the running text: no code blocks, no tables, no headings."""
    text = _LINK.sub(r"\1", _CODE.sub("code", _FENCE.sub("", markdown)))
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip().startswith(("|", "#")):
            continue
        for item in _ITEM.split(paragraph):
            yield from (sentence for sentence in _END.split(" ".join(item.split())) if sentence)


def words(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def ninetieth_percentile(markdown: str) -> int:
    """Return the words that nine sentences in ten do not exceed."""
    lengths = sorted(words(sentence) for sentence in sentences(markdown))
    return lengths[max(0, -(-9 * len(lengths) // 10) - 1)] if lengths else 0


def main() -> None:
    for path in pages():
        markdown = path.read_text(encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {ninetieth_percentile(markdown)} words at the 90th percentile")
        for sentence in sentences(markdown):
            if words(sentence) > CEILING:
                print(f"  {words(sentence)}: {sentence}")


if __name__ == "__main__":
    main()
