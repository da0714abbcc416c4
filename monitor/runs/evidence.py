"""What a policy's comparison rests on: every prompt with both sides' answers, a row a line, in JSONL files.

There is one file for the replay (`suite` "replay"), one for each suite, and one of the champion's good answers that
both sides read again. Where the policy learnt from answers of its own, there is one of these pairs too. Rows of one
file are of one kind, which `row` names. A file's rows keep the order of what was asked, so both sides of a row answer
the same prompt, and a row that is not compared is still there and says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.domain.trace import Message
from monitor.errors import InvalidInput

REPLAY = "replay"
EMPTY, CUT, FENCE, LIST, MARKER, LOOP = "empty", "cut", "fence", "list", "marker", "loop"
FLAGS = {
    EMPTY: "no text",
    CUT: "cut off at the token limit",
    FENCE: "a code fence is left open",
    LIST: "it ends with the mark of a list's next item",
    MARKER: "a marker of the chat template leaked into it",
    LOOP: "it repeats itself",
}


class AnsweredPrompt(msgspec.Struct, frozen=True, kw_only=True, tag="answered", tag_field="row"):
    """One prompt, answered by both."""

    index: int  # of the replay's row, or of the item in its suite
    item_id: str  # the trace's id on the replay
    suite: str  # its name; `REPLAY`
    kind: str  # of the suite, as `monitor.probes.suite.SuiteKind`; `REPLAY`
    cohort: str  # of the trace; the item's category
    cluster: str  # items of one cluster stand together in an interval: conversations, twins
    messages: tuple[Message, ...]
    candidate: str | None  # None: it could not be had
    champion: str | None
    candidate_tokens: int | None = None  # generated, the end's marker not counted
    champion_tokens: int | None = None
    win: float | None = None  # 1: the candidate's answer is better by the lower bound, 0: worse, 0.5: cannot be told
    margins: tuple[float, ...] = ()  # candidate less champion, by member of the ensemble
    candidate_outcome: float | None = None  # replay: how probably it refuses; suite: as `monitor.probes.judge`
    champion_outcome: float | None = None
    candidate_flags: tuple[str, ...] = ()  # of `FLAGS`
    champion_flags: tuple[str, ...] = ()
    left_out: str = ""  # why neither side of it is compared


class ReadAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="read", tag_field="row"):
    """One of the champion's good answers, as both sides read it."""

    index: int  # of the replay's row
    item_id: str
    cohort: str
    cluster: str
    messages: tuple[Message, ...]
    response: str
    tokens: int  # of the response, its end included
    candidate: float  # nats a token
    champion: float


class SampledPair(msgspec.Struct, frozen=True, kw_only=True, tag="sampled", tag_field="row"):
    """Two answers of the policy of today that the ensemble ranked, as a pair to learn from."""

    trace_id: str  # whose prompt it was
    messages: tuple[Message, ...]
    cohort: str
    chosen: str
    rejected: str
    margin: float  # of the chosen over the rejected, in the mean over members
    margin_lower: float  # its lower bound
    by: str = "ai"


Row = AnsweredPrompt | ReadAnswer | SampledPair


def read_evidence(path: Path) -> Iterator[Row]:
    """Yield the rows of *path* in order; raise `InvalidInput` naming the line that is none."""
    decoder = msgspec.json.Decoder(Row)
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{path}:{number}: {error}; expected a row of evidence") from None
