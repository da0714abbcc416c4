"""Instrumented clients of a scripted server: what they export is what production exports.

`python -m tests.producers PRODUCER FILE` makes every call of `CALLS` once, watched by one producer, and writes
the bytes of its exports. Each runs in a process of its own, since they patch the same client.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

MODEL, ANSWERED_BY = "chat-7b", "chat-7b-2026-10-01"
LONG = "The river turned, and the boat turned with it. " * 40
LENGTH_LIMIT = 200
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
PRODUCERS: dict[str, dict[str, str]] = {  # and their environment
    "semconv_span": LATEST | {CONTENT: "span_only"},
    "semconv_event": LATEST | {CONTENT: "event_only"},
    "semconv_cut": LATEST | {CONTENT: "span_only", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": str(LENGTH_LIMIT)},
    "openllmetry": {},
    "openllmetry_events": {},
    "openinference": {},
    "openinference_cut": {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": str(LENGTH_LIMIT)},
    "openinference_hidden": {"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"},
}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
OTHER_CALL = {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


class Call(NamedTuple):
    """One request, and the message or messages that the server answers with."""

    messages: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    finish_reason: str = "stop"
    streamed: bool = False
    status: int = 200
    tokens: tuple[int, int] | None = (20, 7)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(text: str | None, *tool_calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": text} | ({"tool_calls": list(tool_calls)} if tool_calls else {})


CALLS = {
    "after a tool": Call(
        [
            {"role": "system", "content": "You are terse."},
            user("Weather in Oslo?"),
            answer(None, TOOL_CALL),
            {"role": "tool", "tool_call_id": "call_1", "content": "rain, 4 degrees"},
        ],
        [answer("It rains.")],
    ),
    "a developer": Call([{"role": "developer", "content": "Be brief."}, user("Is it?")], [answer("It is.")]),
    "two tools": Call([user("Weather in Oslo and Rome?")], [answer(None, TOOL_CALL, OTHER_CALL)], "tool_calls"),
    "text and a tool": Call([user("Look it up.")], [answer("Let me see.", TOOL_CALL)], "tool_calls"),
    "an empty choice": Call([user("Toss nothing.")], [answer(""), answer("Tails.")]),
    "two choices": Call([user("Toss a coin.")], [answer("Heads."), answer("Tails.")]),
    "streamed": Call([user("Grüße auf Deutsch 🙂")], [answer("Guten Tag 🎌, „schön“.")], streamed=True),
    "uncounted": Call([user("Do not count.")], [answer("One and two.")], streamed=True, tokens=None),
    "a streamed tool": Call([user("Weather, streamed?")], [answer(None, TOOL_CALL)], "tool_calls", streamed=True),
    "parts": Call(
        [
            user(
                [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
                ]
            )
        ],
        [answer("A cat.")],
    ),
    "empty": Call([user("Say nothing.")], [answer("")], "length", tokens=(12, 64)),
    "long": Call([user("Tell me a story.")], [answer(LONG)], tokens=(9, 480)),
    "markup": Call([user('Quote "this" \\ and\nthat\tat once')], [answer('He said: "no" \\ <b>&amp;</b>\n\n- a')]),
    "unstorable": Call([user("U+0000?")], [answer("Here: \x00.")]),
    "limited": Call([user("Too many requests?")], [], status=429),
}


class Scripted:
    """The server: it answers what `CALLS` says, by the text that was asked last."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self.url
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/embeddings"):
            vector: dict[str, Any] = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            self.send({"object": "list", "model": "embed-1", "data": [vector], "usage": usage})
            return
        if self.path.endswith("/moderations"):
            self.send({"id": "modr-1", "model": "watch-1", "results": []})
            return
        name, call = next((name, call) for name, call in CALLS.items() if call.messages == asked["messages"])
        if call.status != 200:
            self.send({"error": {"message": "slow down", "type": "rate_limit"}}, call.status)
        elif call.streamed:
            self.stream(f"chatcmpl-{name}", call)
        else:
            reason = call.finish_reason
            choices = [{"index": i, "finish_reason": reason, "message": each} for i, each in enumerate(call.answers)]
            self.send(_completion(f"chatcmpl-{name}", "chat.completion", choices, call.tokens))

    def send(self, body: dict[str, Any], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def stream(self, name: str, call: Call) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        message = call.answers[0]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in (message["content"] or "").partition(" ") if piece]
        deltas += [{"tool_calls": [{"index": 0, **each}]} for each in message.get("tool_calls", ())]
        choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": call.finish_reason})
        for choice in choices:
            self._send_chunk(_completion(name, "chat.completion.chunk", [choice], None))
        if call.tokens is not None:
            self._send_chunk(_completion(name, "chat.completion.chunk", [], call.tokens))
        self.wfile.write(b"data: [DONE]\n\n")

    def _send_chunk(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *_: Any) -> None:
        pass


def _completion(name: str, kind: str, choices: list[dict[str, Any]], tokens: tuple[int, int] | None) -> dict[str, Any]:
    body: dict[str, Any] = {"id": name, "object": kind, "created": 1, "model": ANSWERED_BY, "choices": choices}
    if tokens is not None:
        asked, answered = tokens
        body["usage"] = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
    return body


def watch(producer: str, tracers: Any, loggers: Any) -> None:
    """Let *producer* watch the client of OpenAI in this process."""
    if producer.startswith("semconv"):
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=tracers, logger_provider=loggers)  # type: ignore[no-untyped-call]
    elif producer.startswith("openllmetry"):
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry

        events = producer.endswith("_events")
        OpenLLMetry(use_attributes=not events).instrument(tracer_provider=tracers, logger_provider=loggers)
    else:
        from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference

        OpenInference().instrument(tracer_provider=tracers)


def ask(url: str, tracers: Any) -> None:
    """Make every call, each inside an agent's step, and ask for one embedding and one moderation."""
    from openai import OpenAI, RateLimitError

    tracer = tracers.get_tracer("tests")
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        create: Any = client.chat.completions.create
        for name, call in CALLS.items():
            agent = {"session.id": name, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helper"}
            more: dict[str, Any] = {"n": len(call.answers)} if len(call.answers) > 1 else {}
            if call.streamed:
                more = {"stream": True, "stream_options": {"include_usage": call.tokens is not None}}
            with tracer.start_as_current_span(f"invoke_agent {name}", attributes=agent), suppress(RateLimitError):
                answered = create(model=MODEL, messages=call.messages, **more)
                deque(answered if call.streamed else (), maxlen=0)  # a stream is told when it was read to its end
        client.embeddings.create(model="embed-1", input="a text", encoding_format="float")
        client.moderations.create(model="watch-1", input="a text")


def main(producer: str, file: Path) -> None:
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    resource = Resource.create({"service.name": "shop-assistant"})
    tracers, loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    spans = InMemorySpanExporter()
    logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    watch(producer, tracers, loggers)
    with Scripted().running() as url:
        ask(url, tracers)
    exports = [encode_spans(spans.get_finished_spans()).SerializeToString()]
    if logs.get_finished_logs():
        exports.append(encode_logs(logs.get_finished_logs()).SerializeToString())
    tracers.shutdown()
    loggers.shutdown()
    file.write_text(json.dumps([base64.b64encode(each).decode() for each in exports]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
