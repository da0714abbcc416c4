"""A model server with scripted answers, in the protocols that LiteLLM calls; it also takes the logs that are posted."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
RESPONSE_USAGE = {"input_tokens": 8, "output_tokens": 6, "total_tokens": 14}
posted: list[bytes] = []  # the bodies of logs


class ScriptedModel(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.split("?")[0]
        if path == "/logs":
            posted.append(raw)
            self._send({})
            return
        asked = json.loads(raw) if raw.startswith(b"{") else {}
        text = json.dumps(asked.get("messages") or asked.get("input") or asked.get("prompt") or "")
        if "fail" in text or asked.get("model") == "failing":
            self._send({"error": {"message": "scripted failure", "type": "server_error"}}, 500)
        elif asked.get("stream"):
            self._send(b"".join(b"data: " + chunk + b"\n\n" for chunk in chunks(asked)), kind="text/event-stream")
        elif path.endswith("/audio/speech"):
            self._send(b"RIFF", kind="audio/mpeg")
        else:
            self._send(next(answer(asked, text) for end, answer in ANSWERS.items() if end in path))

    def log_message(self, *args: object) -> None:
        pass

    def _send(self, body: dict[str, Any] | bytes, status: int = 200, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve() -> int:
    """Start the server and return its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ScriptedModel)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def chat(asked: dict[str, Any], text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "A chat's answer."}
    reason = "stop"
    if asked.get("tools"):
        calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]
        message, reason = {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
    elif "refuse" in text:
        message = {"role": "assistant", "content": None, "refusal": "I will not say that."}
    elif "think" in text:
        message["reasoning_content"] = "First, let me see."
    elif "filtered" in text:
        message["content"], reason = "", "content_filter"
    elif "long" in text:
        message["content"] = 'It\'s a "long" story:\nonce, ' + "and then, " * 3_000
    choices = [{"index": n, "message": message, "finish_reason": reason} for n in range(asked.get("n") or 1)]
    model = f"{asked['model']}-2026-10-01"
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model} | {
        "choices": choices,
        "usage": USAGE,
    }


def completion(asked: dict[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, "text": " upon a time.", "finish_reason": "length", "logprobs": None}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": asked["model"]} | {
        "choices": [choice],
        "usage": USAGE,
    }


def response(asked: dict[str, Any], text: str) -> dict[str, Any]:
    """Answer as the Responses API does: with reasoning, a message, and a call of a tool where there is one."""
    part = {"type": "output_text", "text": "An answer of items.", "annotations": []}
    output: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "First, let me see."}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]},
    ]
    if asked.get("tools"):
        output.append({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"})
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}} if "cut" in text else {}
    usual = {"status": "completed", "incomplete_details": None, "error": None, "instructions": None, "metadata": {}}
    given = {"id": "resp_1", "object": "response", "created_at": 1, "model": asked["model"], "output": output}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0}
    return given | usual | rest | cut | {"usage": RESPONSE_USAGE}


def chunks(asked: dict[str, Any]) -> list[bytes]:
    if "messages" not in asked:
        whole = response(asked, "")
        begun = {"type": "response.created", "response": whole | {"output": [], "status": "in_progress"}}
        return [json.dumps(each).encode() for each in (begun, {"type": "response.completed", "response": whole})]
    given = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "A streamed"}, {"content": " answer."}]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    told = [given | {"choices": [choice]} for choice in (*choices, {"index": 0, "delta": {}, "finish_reason": "stop"})]
    if asked.get("stream_options"):
        told.append(given | {"choices": [], "usage": USAGE})
    return [*(json.dumps(chunk).encode() for chunk in told), b"[DONE]"]


def claude(asked: dict[str, Any], text: str) -> dict[str, Any]:
    content = [
        {"type": "thinking", "thinking": "First, let me see.", "signature": "s"},
        {"type": "text", "text": "A message's answer."},
    ]
    given = {"id": "msg_1", "type": "message", "role": "assistant", "model": f"{asked['model']}-2026"}
    usage = {"input_tokens": 9, "output_tokens": 5}
    return given | {"content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


def gemini(asked: dict[str, Any], text: str) -> dict[str, Any]:
    content = {"parts": [{"text": "A candidate's answer."}], "role": "model"}
    usage = {"promptTokenCount": 4, "candidatesTokenCount": 3, "totalTokenCount": 7}
    candidates = [{"content": content, "finishReason": "STOP", "index": 0}]
    return {"candidates": candidates, "usageMetadata": usage, "modelVersion": "g-1-002", "responseId": "r1"}


ANSWERS = {
    "/chat/completions": chat,
    "/completions": completion,
    "/responses": response,
    "/messages": claude,
    "generateContent": gemini,
    "/embeddings": lambda asked, text: {
        "object": "list",
        "model": asked["model"],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    },
    "/images": lambda asked, text: {"created": 1, "data": [{"url": "http://127.0.0.1/picture.png"}]},
    "/moderations": lambda asked, text: {
        "id": "modr-1",
        "model": "m",
        "results": [{"flagged": False, "categories": {}, "category_scores": {}}],
    },
    "/transcriptions": lambda asked, text: {"text": "What was said."},
    "/rerank": lambda asked, text: {"id": "r", "results": [{"index": 0, "relevance_score": 0.9}]},
}
