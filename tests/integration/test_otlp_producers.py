"""The instrumentations that run in production, on other calls than those that were recorded."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.ingest.join import JoinRules
from monitor.ingest.join_memory import MemoryJoin
from monitor.ingest.part import Part, PartKind
from tests.otlp import LIMITS, outcomes
from tests.producers import ANSWERED_BY, CALLS, LENGTH_LIMIT, LONG, MODEL, PRODUCERS, Call

ROOT = Path(__file__).parents[2]
TOLD = [name for name in PRODUCERS if name != "openinference_hidden"]
WHOLE = [name for name in TOLD if not name.endswith("_cut")]
STRAYED = "openllmetry_events"  # it names the span around a streamed call in the record of the answer
Found = Mapping[str, list[Part]]  # the parts of each call, by its name; the span's first


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """Return what each producer exported of the calls: its spans, and its log records where it has some."""
    folder = tmp_path_factory.mktemp("producers")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENINFERENCE_"))}
    command = [sys.executable, "-m", "tests.producers"]
    running = {
        name: subprocess.Popen(
            [*command, name, folder / name], env=plain | environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for name, environment in PRODUCERS.items()
    }
    for name, process in running.items():
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, f"{name}: {errors}"
    return {name: [base64.b64decode(each) for each in json.loads((folder / name).read_text())] for name in PRODUCERS}


def found_in(exports: list[bytes]) -> Found:
    parts = [each for value in exports for each in outcomes(value) if isinstance(each, Part)]
    agents = {part.span: part.conversation_id for part in parts if part.kind is PartKind.CONTEXT}
    calls = {part.call_id: agents[part.parent or ""] for part in parts if part.kind is PartKind.CALL}
    found: dict[str, list[Part]] = {name: [] for name in CALLS}
    for part in sorted(parts, key=lambda part: part.kind is PartKind.CONTENT):
        name = calls.get(part.call_id)
        if name is not None:
            found[name].append(part)
    return found


def messages_of(parts: list[Part]) -> tuple[tuple[str, str], ...]:
    return tuple(message for part in parts for message in part.messages)


def asked(call: Call) -> tuple[tuple[str, str], ...]:
    return tuple(
        (each["role"], each["content"][0]["text"] if isinstance(each["content"], list) else each["content"] or "")
        for each in call.messages
    )


@pytest.mark.parametrize("producer", PRODUCERS)
def test_every_call_is_found_once_and_neither_agents_nor_embeddings_are_calls(
    producer: str, exported: dict[str, list[bytes]]
) -> None:
    found = found_in(exported[producer])
    assert [[part.kind for part in parts].count(PartKind.CALL) for parts in found.values()] == [1] * len(CALLS)
    for name, (span, *_) in found.items():
        failed = CALLS[name].status != 200
        assert (span.error is not None) == failed
        assert (span.model or span.request_model) == (MODEL if failed else ANSWERED_BY)
        assert (span.input_tokens, span.output_tokens) == ((None if failed else CALLS[name].tokens) or (None, None))
        assert (span.start_ns or 0) < (span.end_ns or 0)


@pytest.mark.parametrize("producer", WHOLE)
def test_prompts_and_answers_are_those_that_were_sent(producer: str, exported: dict[str, list[bytes]]) -> None:
    for name, parts in found_in(exported[producer]).items():
        call = CALLS[name]
        untold = name == "parts" and producer.startswith("semconv")  # which leaves lists of parts out
        assert messages_of(parts) == (() if untold else asked(call))
        answers = [part.response for part in parts if part.response is not None]
        told = call.answers and not (call.streamed and producer == STRAYED)
        wanted = (call.answers[0]["content"] or "").replace("\x00", "\N{REPLACEMENT CHARACTER}") if told else None
        assert answers == ([wanted] if wanted else [])
        assert not any(part.truncated for part in parts)


def test_a_streamed_answer_that_names_the_span_around_its_call_is_the_call_s(exported: dict[str, list[bytes]]) -> None:
    memory = MemoryJoin(JoinRules(LIMITS), datetime.now(UTC))
    parts = [each for value in exported[STRAYED] for each in outcomes(value) if isinstance(each, Part)]
    for part in parts:
        memory.add(part, ("spans", 0, 0))
    joined = memory.flush()
    found = {trace.conversation_id: trace for trace, _ in joined.traces}
    assert len(joined.traces) == len(found) == len(CALLS)
    for name, call in CALLS.items():
        if call.streamed:
            (wanted,) = call.answers
            assert (found[name].response, found[name].tool_calls) == (
                wanted["content"],
                len(wanted.get("tool_calls", ())),
            )


@pytest.mark.parametrize("producer", TOLD)
def test_finish_reasons_and_calls_of_tools_are_told(producer: str, exported: dict[str, list[bytes]]) -> None:
    for name, parts in found_in(exported[producer]).items():
        call = CALLS[name]
        if call.status == 200:
            words = {call.finish_reason, call.finish_reason.removesuffix("s")}  # OpenLLMetry's `tool_call`
            assert {part.finish_reason for part in parts if part.finish_reason} <= words
            assert any(part.finish_reason for part in parts)
            asked_for = 0 if call.streamed and producer == STRAYED else len(call.answers[0].get("tool_calls", ()))
            assert max(part.tool_calls for part in parts) == asked_for


@pytest.mark.parametrize("producer", ["semconv_cut", "openinference_cut"])
def test_answers_that_a_limit_cut_are_marked(producer: str, exported: dict[str, list[bytes]]) -> None:
    found = found_in(exported[producer])
    (long,) = found["long"]
    assert long.truncated
    assert long.response
    assert LONG.startswith(long.response)
    assert len(long.response) <= LENGTH_LIMIT
    assert long.output_tokens == 480
    (short,) = found["two choices"]
    assert (short.truncated, short.response) == (False, "Heads.")


def test_hidden_texts_are_absent_and_not_read_as_texts(exported: dict[str, list[bytes]]) -> None:
    for parts in found_in(exported["openinference_hidden"]).values():
        assert [(part.messages, part.response) for part in parts] == [((), None)]
