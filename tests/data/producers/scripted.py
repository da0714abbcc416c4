"""A model server that answers what `script.json` says, in the protocols of several providers."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL, ANSWERED_BY = "chat-7b", "chat-7b-2026-10-01"
SCRIPT: list[dict[str, Any]] = json.loads((Path(__file__).parent / "script.json").read_text(encoding="utf-8"))
Body = dict[str, Any]
exported: list[bytes] = []


def texts_of(content: Any) -> list[str]:
    return [each for each in ([content] if isinstance(content, str) else content) if isinstance(each, str)]


def find(last: Any) -> Body:
    """Return the call whose last message's first text stands in *last*, the end of a request."""
    told = json.dumps(last, ensure_ascii=False)
    return next(call for call in SCRIPT if texts_of(call["messages"][-1]["content"])[0] in told)


# Anthropic


def anthropic_blocks(call: Body) -> list[Body]:
    blocks: list[Body] = []
    if "thinking" in call:
        blocks.append({"type": "thinking", "thinking": call["thinking"], "signature": "c2ln"})
    if call["response"]:
        blocks.append({"type": "text", "text": call["response"]})
    for tool in call.get("tool_calls", ()):
        blocks.append({"type": "tool_use", "id": tool["id"], "name": tool["name"], "input": tool["arguments"]})
    return blocks


def anthropic_usage(call: Body) -> Body:
    asked, answered = call["tokens"]
    cached = call.get("cached", 0)  # which Anthropic does not count among the others
    return {
        "input_tokens": asked - cached, "output_tokens": answered,
        "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0,
    }  # fmt: skip


ANTHROPIC_REASONS = {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens"}


def anthropic_message(call: Body) -> Body:
    return {
        "id": f"msg_{call['name'].replace(' ', '_')}", "type": "message", "role": "assistant", "model": ANSWERED_BY,
        "content": anthropic_blocks(call), "stop_reason": ANTHROPIC_REASONS[call["finish"]], "stop_sequence": None,
        "usage": anthropic_usage(call),
    }  # fmt: skip


def anthropic_stream(call: Body) -> Iterator[Body]:
    whole = anthropic_message(call)
    yield {
        "type": "message_start",
        "message": whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}},
    }
    for index, block in enumerate(whole["content"]):
        kind = block["type"]
        empty = block | {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(kind, {"input": {}})
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if kind == "tool_use":
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        else:
            deltas = [{"type": f"{kind}_delta", kind: piece} for piece in block[kind].partition(" ") if piece]
        if kind == "thinking":
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


# Google


def google_parts(call: Body) -> list[Body]:
    parts: list[Body] = [{"text": call["thinking"], "thought": True}] if "thinking" in call else []
    if call["response"]:
        parts.append({"text": call["response"]})
    return parts + [
        {"functionCall": {"id": tool["id"], "name": tool["name"], "args": tool["arguments"]}}
        for tool in call.get("tool_calls", ())
    ]


def google_answer(call: Body, parts: list[Body], *, last: bool = True) -> Body:
    asked, answered = call["tokens"]
    thought = 5 if "thinking" in call else 0  # which Google does not count among the others
    candidate: Body = {"content": {"role": "model", "parts": parts}, "index": 0}
    body: Body = {"candidates": [candidate], "modelVersion": ANSWERED_BY, "responseId": f"resp-{call['name']}"}
    if last:
        candidate["finishReason"] = {"length": "MAX_TOKENS"}.get(call["finish"], "STOP")
        body["usageMetadata"] = {
            "promptTokenCount": asked, "candidatesTokenCount": answered - thought, "totalTokenCount": asked + answered,
        } | ({"thoughtsTokenCount": thought} if thought else {})  # fmt: skip
        if "cached" in call:
            body["usageMetadata"]["cachedContentTokenCount"] = call["cached"]
    return body


def google_stream(call: Body) -> Iterator[Body]:
    pieces = [
        part | ({"text": piece} if "text" in part else {})
        for part in google_parts(call)
        for piece in (part.get("text", "x").partition(" ") if "text" in part else ["x"])
        if piece
    ]
    for place, part in enumerate(pieces, start=1):
        yield google_answer(call, [part], last=place == len(pieces))


# OpenAI, and Mistral, who speaks like it


OPENAI_REASONS = {"stop": "stop", "tool": "tool_calls", "length": "length"}


def openai_calls(call: Body) -> list[Body]:
    return [
        {
            "id": tool["id"], "type": "function", "index": place,
            "function": {"name": tool["name"], "arguments": json.dumps(tool["arguments"])},
        }
        for place, tool in enumerate(call.get("tool_calls", ()))
    ]  # fmt: skip


def openai_usage(call: Body) -> Body:
    asked, answered = call["tokens"]
    return {
        "prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": call.get("cached", 0)},
    }  # fmt: skip


def openai_body(call: Body, kind: str, choices: list[Body]) -> Body:
    name = f"chatcmpl-{call['name'].replace(' ', '-')}"
    return {"id": name, "object": kind, "created": 1, "model": ANSWERED_BY, "choices": choices}


def openai_completion(call: Body) -> Body:
    message: Body = {"role": "assistant", "content": call["response"]}
    if "thinking" in call:
        message["reasoning_content"] = call["thinking"]
    if "tool_calls" in call:
        message["tool_calls"] = openai_calls(call)
    choice = {"index": 0, "finish_reason": OPENAI_REASONS[call["finish"]], "message": message}
    return openai_body(call, "chat.completion", [choice]) | {"usage": openai_usage(call)}


def openai_stream(call: Body) -> Iterator[Body]:
    deltas: list[Body] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in call.get("thinking", "").partition(" ") if piece]
    deltas += [{"content": piece} for piece in (call["response"] or "").partition(" ") if piece]
    deltas += [{"tool_calls": [each]} for each in openai_calls(call)]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield openai_body(call, "chat.completion.chunk", [choice])
    choice = {"index": 0, "delta": {}, "finish_reason": OPENAI_REASONS[call["finish"]]}
    yield openai_body(call, "chat.completion.chunk", [choice])
    yield openai_body(call, "chat.completion.chunk", []) | {"usage": openai_usage(call)}


def openai_response(call: Body, instructions: Any) -> Body:
    """Return what OpenAI's Responses API answers."""
    output: list[Body] = []
    if "thinking" in call:
        summary = [{"type": "summary_text", "text": call["thinking"]}]
        output.append({"type": "reasoning", "id": "rs_1", "summary": summary})
    if call["response"]:
        text = {"type": "output_text", "text": call["response"], "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        output.append(message)
    for tool in call.get("tool_calls", ()):
        named = {"call_id": tool["id"], "name": tool["name"], "arguments": json.dumps(tool["arguments"])}
        output.append({"type": "function_call", "id": f"fc_{tool['id']}", "status": "completed", **named})
    asked, answered = call["tokens"]
    is_cut = call["finish"] == "length"
    return {
        "id": f"resp_{call['name'].replace(' ', '_')}", "object": "response", "created_at": 1, "model": ANSWERED_BY,
        "status": "incomplete" if is_cut else "completed", "output": output, "parallel_tool_calls": True,
        "instructions": instructions,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None, "tools": [], "tool_choice": "auto",
        "usage": {
            "input_tokens": asked, "output_tokens": answered, "total_tokens": asked + answered,
            "input_tokens_details": {"cached_tokens": call.get("cached", 0)},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip


def openai_response_stream(call: Body, instructions: Any) -> Iterator[Body]:
    whole = openai_response(call, instructions)
    yield {
        "type": "response.created",
        "sequence_number": 0,
        "response": whole | {"output": [], "status": "in_progress"},
    }
    for number, item in enumerate(whole["output"]):
        yield {"type": "response.output_item.added", "sequence_number": 1, "output_index": number, "item": item}
        yield {"type": "response.output_item.done", "sequence_number": 2, "output_index": number, "item": item}
    yield {"type": "response.completed", "sequence_number": 3, "response": whole}


def mistral(body: Body) -> Body:
    """Return OpenAI's *body* as Mistral writes it: thoughts are a part of the content."""
    for choice in body["choices"]:
        message = choice.get("message") or choice["delta"]
        thoughts = message.pop("reasoning_content", None)
        if thoughts is not None:
            parts = [{"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}]
            if message.get("content"):
                parts.append({"type": "text", "text": message["content"]})
            message["content"] = parts
    return body


# Bedrock's Converse


BEDROCK_REASONS = ANTHROPIC_REASONS


def bedrock_blocks(call: Body) -> list[Body]:
    blocks: list[Body] = []
    if "thinking" in call:
        blocks.append({"reasoningContent": {"reasoningText": {"text": call["thinking"], "signature": "c2ln"}}})
    if call["response"]:
        blocks.append({"text": call["response"]})
    for tool in call.get("tool_calls", ()):
        blocks.append({"toolUse": {"toolUseId": tool["id"], "name": tool["name"], "input": tool["arguments"]}})
    return blocks


def bedrock_usage(call: Body) -> Body:
    asked, answered = call["tokens"]
    cached = call.get("cached", 0)  # as with Anthropic
    return {
        "inputTokens": asked - cached, "outputTokens": answered, "totalTokens": asked + answered,
        "cacheReadInputTokens": cached, "cacheWriteInputTokens": 0,
    }  # fmt: skip


def bedrock_answer(call: Body) -> Body:
    message = {"role": "assistant", "content": bedrock_blocks(call)}
    reason = BEDROCK_REASONS[call["finish"]]
    return {
        "output": {"message": message}, "stopReason": reason, "usage": bedrock_usage(call), "metrics": {"latencyMs": 7},
    }  # fmt: skip


def bedrock_stream(call: Body) -> Iterator[tuple[str, Body]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(bedrock_blocks(call)):
        if "toolUse" in block:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": start}}
            deltas: list[Body] = [{"toolUse": {"input": json.dumps(block["toolUse"]["input"])}}]
        elif "text" in block:
            deltas = [{"text": piece} for piece in block["text"].partition(" ") if piece]
        else:
            deltas = [{"reasoningContent": {"text": call["thinking"]}}, {"reasoningContent": {"signature": "c2ln"}}]
        for delta in deltas:
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": BEDROCK_REASONS[call["finish"]]}
    yield "metadata", {"usage": bedrock_usage(call), "metrics": {"latencyMs": 7}}


def event_frame(kind: str, payload: bytes) -> bytes:
    """Return a message of AWS's event stream."""
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    return (whole := prelude + headers + payload) + struct.pack(">I", zlib.crc32(whole))


class ScriptedModel(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        if self.path.endswith("/v1/traces"):  # a producer that has an exporter of its own
            exported.append(self.rfile.read(int(self.headers.get("content-length") or 0)))
            self.send_body(b"", "application/x-protobuf")
            return
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.split("?")[0]
        if "embed" in path.lower():
            self.send_json(embedding(path, asked))
            return
        if path.endswith(("/count_tokens", ":countTokens")):
            self.send_json({"input_tokens": 3, "totalTokens": 3})
            return
        last = asked.get("messages") or asked.get("contents") or asked.get("input")
        call = find(last[-1] if isinstance(last, list) else last)
        if call.get("status", 200) != 200:
            error = {"type": "rate_limit_error", "message": "slow down", "code": 429, "status": "RESOURCE_EXHAUSTED"}
            self.send_json({"type": "error", "error": error, "message": "slow down"}, call["status"])
        else:
            self.answer(path, asked, call)

    def answer(self, path: str, asked: Body, call: Body) -> None:
        streamed = asked.get("stream")
        if path.endswith("/messages"):
            self.send_events(anthropic_stream(call), named=True) if streamed else self.send_json(
                anthropic_message(call)
            )
        elif path.endswith(":generateContent"):
            self.send_json(google_answer(call, google_parts(call)))
        elif path.endswith(":streamGenerateContent"):
            self.send_events(google_stream(call))
        elif path.endswith("/converse"):
            self.send_json(bedrock_answer(call))
        elif path.endswith("/converse-stream"):
            frames = (event_frame(kind, json.dumps(body).encode()) for kind, body in bedrock_stream(call))
            self.send_body(b"".join(frames), "application/vnd.amazon.eventstream")
        elif path.endswith("/responses"):
            if streamed:
                self.send_events(openai_response_stream(call, asked.get("instructions")), named=True)
            else:
                self.send_json(openai_response(call, asked.get("instructions")))
        else:
            in_words = mistral if "/mistral/" in path else dict
            if streamed:
                self.send_events(map(in_words, openai_stream(call)), end=b"data: [DONE]\n\n")
            else:
                self.send_json(in_words(openai_completion(call)))

    def send_json(self, body: Any, status: int = 200) -> None:
        self.send_body(json.dumps(body).encode(), "application/json", status)

    def send_events(self, events: Iterator[Body], *, named: bool = False, end: bytes = b"") -> None:
        lines = ((f"event: {each['type']}\n" if named else "") + f"data: {json.dumps(each)}\n\n" for each in events)
        self.send_body("".join(lines).encode() + end, "text/event-stream")

    def send_body(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def embedding(path: str, asked: Body) -> Body:
    if "atch" in path and "ontents" in path:  # Google's
        return {"embeddings": [{"values": [0.1, 0.2]} for _ in asked["requests"]]}
    items = asked["input"] if isinstance(asked.get("input"), list) else [""]
    data = [{"object": "embedding", "index": place, "embedding": [0.1, 0.2]} for place in range(len(items))]
    return {
        "id": "e",
        "object": "list",
        "model": "embed-1",
        "data": data,
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def serve() -> str:
    """Start the server and return its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ScriptedModel)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


if __name__ == "__main__":
    print(serve(), flush=True)
    threading.Event().wait()
