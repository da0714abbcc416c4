"""Whatever becomes of sound bytes on their way, a record is accounted for, and what is taken of it can be stored."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import msgspec
import pytest

from monitor.ingest.decode import DecodeLimits
from monitor.ingest.outcome import Carries
from monitor.ingest.record import Record
from monitor.ingest.route import Route, Router
from tests.mutations import mutated
from tests.recordings import OTLP, litellm_calls, litellm_payloads, recorded
from tests.traces import line, trace

MUTATIONS = 10_000
NOW = datetime(2026, 12, 1, tzinfo=UTC)
LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366), frozenset({"team", "beta"}))
WEIRD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    10**30,
    "",
    " ",
    "\x00",
    "\ud800",
    "x" * 600,
    [],
    {},
    [[]],
    {"a": {}},
]
LITELLM = [
    record.value or b""
    for record in (*litellm_payloads(), *(record for name, record in litellm_calls().items() if "long" not in name))
]
NATIVE = [line(trace(number, conversation_id="c", feedback_rating=-1.0)) for number in range(5)]
SEEDS = {
    "native": NATIVE,
    "litellm": LITELLM,
    "auto": NATIVE
    + LITELLM
    + [record.value or b"" for name in OTLP for json_encoded in (True, False) for record in
       recorded(name, json_encoded=json_encoded)],
}  # fmt: skip


def changed_field(value: bytes, rng: random.Random) -> bytes:
    """Give a field of JSON another value, or take it out, however deep it stands."""
    try:
        form = json.loads(value)
    except ValueError:  # protobuf
        return value[: rng.randrange(len(value))]
    place = form
    while isinstance(place, dict | list) and place:
        key: Any = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            if isinstance(place, dict) and rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(WEIRD)
            break
        place = inner
    return json.dumps(form).encode()


@pytest.mark.parametrize("form", SEEDS)
def test_every_mutation_is_accounted_for_and_what_is_taken_can_be_stored(form: str) -> None:
    rng = random.Random(20261122)
    router = Router([Route("t", Carries.TRACES, form)], LIMITS)
    outcomes: Counter[str] = Counter()
    fields = (changed_field(rng.choice(SEEDS[form]), rng) for _ in range(MUTATIONS // 2))
    for number, value in enumerate(chain(mutated(SEEDS[form], MUTATIONS // 2, seed=20261122), fields)):
        batch = router.decode([Record("t", 0, number, None, value, timestamp_ms=1_795_000_000_000)], NOW)
        found = {
            "trace": len(batch.traces),
            "part": len(batch.parts),
            "label": len(batch.labels),
            "skipped": batch.skipped.total(),
            "dead": len(batch.rejected),
        }
        assert any(found.values()), value[:500]
        outcomes.update(found)
        for taken, _ in (*batch.traces, *batch.parts):
            stored = msgspec.json.encode(taken)  # raises where a text holds half a surrogate pair
            assert b"\\u0000" not in stored, value[:500]
    assert outcomes["trace"] > 1_000
    assert outcomes["dead"] > 1_000
    assert form != "auto" or outcomes["part"] > 1_000
