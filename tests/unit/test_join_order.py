"""Whatever order and grouping parts arrive in, the same traces result."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.ingest.join_call import Held
from monitor.ingest.part import Part
from tests.joining import Replay
from tests.parts import SECOND, START_NS, bare, call, content, context

Records = list[list[Part]]


def replayed(records: Records, random: Random) -> Replay:
    """Replay *records* in an order and in batches of their own."""
    replay = Replay()
    batch: list[Held] = []
    for offset, record in enumerate(records):
        batch += [Held(part, ("spans", 0, offset)) for part in record]
        if random.random() < 0.5:
            replay.take(batch)
            batch = []
    replay.take(batch)
    replay.end()
    assert not replay.waiting
    return replay


@st.composite
def calls(draw: st.DrawFn, trace: str) -> list[list[Part]]:
    """Return the parts of one request with one call; parts that one record must keep together are one list."""
    above = draw(st.sampled_from(["root", "asked", "asked far above", "lost"]))
    texts = draw(st.sampled_from(["span", "event", "one by one", "none", "no span", "nothing but texts"]))
    error = draw(st.sampled_from([None, None, "500"]))
    asker = {"conversation_id": "chat", "user_id": "anna"}
    parent = None if above == "root" else "p"
    found: list[Part] = []
    if above == "asked":
        found.append(context("p", trace=trace, **asker))
    if above == "asked far above":
        found += [context("p", trace=trace, parent="r"), context("r", trace=trace, **asker)]
    whole: dict[str, object] = {"trace": trace, "parent": parent, "error": error}
    if texts == "span":
        found.append(call("c", **whole))
        if above != "lost" and draw(st.booleans()):
            found.append(call("inner", trace=trace, parent="c"))
            if draw(st.booleans()):
                found.append(content("inner", trace=trace, model="phi-2"))
    elif texts in {"event", "one by one", "none"}:
        found.append(bare("c", **whole))
    if texts == "event":
        found.append(content(trace=trace))
    if texts == "no span":
        found.append(content(trace=trace, model="phi-2"))
    if texts == "nothing but texts":
        found.append(content(trace=trace))
    if texts == "one by one":
        said = [("system", "Be kind."), ("user", "Q?"), ("assistant", "Which?"), ("user", "This.")]
        for number, message in enumerate(said):
            found.append(content(trace=trace, end_ns=START_NS + number, messages=(message,), response=None))
        found.append(content(trace=trace, end_ns=START_NS + SECOND, messages=()))
    return [[part] for part in found]


@st.composite
def requests(draw: st.DrawFn) -> Records:
    count = draw(st.integers(1, 4))
    return [record for number in range(count) for record in draw(calls(f"t{number}"))]


def arranged(parts: Records, random: Random) -> Records:
    """Put the parts into records of random length, in a random order, some of them twice."""
    doubled = [*parts, *random.sample(parts, k=random.randint(0, len(parts)))]
    random.shuffle(doubled)
    records: Records = [[]]
    for part in doubled:
        if records[-1] and random.random() < 0.7:
            records.append([])
        records[-1] += part
    return records


def is_log(part: Part) -> bool:
    return part.kind == "content"


@given(parts=requests(), random=st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_any_order_and_grouping_of_parts_gives_the_same_traces(parts: Records, random: Random) -> None:
    expected = replayed([[part for record in parts for part in record]], Random(0)).traces
    logs, spans = ([record for record in parts if is_log(record[0]) is kind] for kind in (True, False))
    records = [*arranged(logs, random), *arranged(spans, random)]  # spans and log records share no record
    random.shuffle(records)
    assert replayed([record for record in records if record], random).traces == expected
