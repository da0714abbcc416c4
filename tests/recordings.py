"""What real producers wrote for ten scripted calls, and what was asked and answered."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monitor.ingest.record import Record

DATA = Path(__file__).parent / "data"
FOLDER = DATA / "trace_formats"
OTLP = (
    "otel_latest_span",
    "otel_latest_event",
    "otel_latest_none",
    "otel_legacy_event",
    "openllmetry",
    "openinference",
    "litellm_openinference",
    "litellm_otel",
)


class Scripted(NamedTuple):
    """One call of the script."""

    messages: tuple[tuple[str, str], ...]
    response: str | None
    finish_reason: str
    tool_calls: int
    input_tokens: int
    output_tokens: int
    failed: bool


def script() -> list[Scripted]:
    return [
        Scripted(
            tuple((message["role"], message["content"]) for message in call["messages"]),
            call["response"] if call["status"] == 200 else None,
            call["finish_reason"],
            len(call["tool_calls"] or ()),
            call["input_tokens"],
            call["output_tokens"],
            call["status"] != 200,
        )
        for call in json.loads((FOLDER / "script.json").read_text(encoding="utf-8"))
    ]


def recorded(name: str, *, json_encoded: bool) -> list[Record]:
    """Return the records of one file in one of the two encodings, in the order they were captured."""
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows: Iterable[dict[str, Any]] = [json.loads(line) for line in lines]
    return [
        Record(row["topic"], 0, offset, None, base64.b64decode(row["value"]))
        for offset, row in enumerate(rows)
        if row["topic"].endswith("_json") == json_encoded
    ]


def litellm_payloads() -> list[Record]:
    """Return what LiteLLM's callbacks were given for the calls of the script."""
    with gzip.open(FOLDER / "litellm_payload.jsonl.gz") as lines:
        return [Record("payloads", 0, offset, None, line.strip()) for offset, line in enumerate(lines)]


def litellm_calls() -> Mapping[str, Record]:
    """Return what LiteLLM logged of calls of every kind, by the name of the call."""
    with gzip.open(DATA / "litellm" / "recorded.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    return {
        base64.b64decode(row["key"]).decode(): Record("litellm", 0, offset, None, base64.b64decode(row["value"]))
        for offset, row in enumerate(rows)
    }
