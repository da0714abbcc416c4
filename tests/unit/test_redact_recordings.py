"""What real producers wrote goes through redaction before anything else: no prompt and no answer is left of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.ingest.decode import DecodeLimits
from monitor.ingest.outcome import Carries
from monitor.ingest.redact import Redaction
from monitor.ingest.route import Route, RoutedBatch, Router
from tests.recordings import OTLP, recorded, script

LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366 * 50))
NOW = datetime(2026, 12, 31, tzinfo=UTC)


def crossed_out(text: str) -> str:
    return "x" if text else text


def told(batch: RoutedBatch) -> str:
    return repr([found for found, _ in (*batch.traces, *batch.parts)])


@pytest.mark.parametrize("json_encoded", [False, True], ids=["protobuf", "JSON"])
@pytest.mark.parametrize("name", OTLP)
def test_nothing_that_was_said_is_left_of_a_recording(name: str, json_encoded: bool) -> None:
    records = recorded(name, json_encoded=json_encoded)
    routes = [Route(topic, Carries.TRACES, "auto") for topic in sorted({record.topic for record in records})]
    clear = told(Router(routes, LIMITS).decode(records, NOW))
    redacted = Router(routes, LIMITS, redaction=Redaction((crossed_out,))).decode(records, NOW)
    kept = told(redacted)
    said = [content for call in script() for _, content in call.messages] + [call.response for call in script()]
    texts = [text for text in said if text and len(text) > 12]
    assert len(texts) > 10
    assert not redacted.rejected
    assert [text for text in texts if repr(text)[1:-1] in kept] == []
    if name != "otel_latest_none":
        assert [text for text in texts if repr(text)[1:-1] in clear] != []
