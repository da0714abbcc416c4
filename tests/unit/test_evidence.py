"""Evidence comes back as it was written, and what is none is named by its line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.runs.evidence import LOOP, REPLAY, AnsweredPrompt, ReadAnswer, SampledPair, read_evidence

ASKED = (Message("user", "how do I get my money back?"),)
ANSWERED = AnsweredPrompt(
    index=3,
    item_id="t-3",
    suite=REPLAY,
    kind=REPLAY,
    cohort="product=billing",
    cluster="c-1",
    messages=ASKED,
    candidate="again and again and again",
    champion=None,
    candidate_tokens=5,
    margins=(0.25, -1.5),
    candidate_flags=(LOOP,),
    left_out="champion: HTTP 500",
)
READ = ReadAnswer(
    index=3,
    item_id="t-3",
    cohort="none",
    cluster="c-1",
    messages=ASKED,
    response="Open the settings.",
    tokens=4,
    candidate=1.25,
    champion=1.0,
)

SAMPLED = SampledPair(
    trace_id="t-3", messages=ASKED, cohort="none", chosen="Yes.", rejected="No.", margin=1.5, margin_lower=0.5
)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in (ANSWERED, READ, SAMPLED)))
    assert list(read_evidence(path)) == [ANSWERED, READ, SAMPLED]


@pytest.mark.parametrize("line", ['{"row": "asked"}', '{"row": "read", "index": "one"}', "[]", "not JSON"])
def test_a_line_that_is_no_evidence_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_bytes(msgspec.json.encode(READ) + b"\n" + line.encode() + b"\n")
    with pytest.raises(InvalidInput, match=r"replay\.jsonl:2: .*expected a row of evidence"):
        list(read_evidence(path))
