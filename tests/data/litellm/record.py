"""Write `recorded.jsonl.gz`: what LiteLLM's own code logs of calls to a scripted model server.

python -m venv /tmp/litellm && /tmp/litellm/bin/pip install 'litellm[proxy]==1.106.2'
cd tests/data/litellm && /tmp/litellm/bin/python record.py
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine
from io import BytesIO
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from litellm.google_genai import agenerate_content
from litellm.integrations.custom_logger import CustomLogger
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
from litellm.litellm_core_utils.safe_json_dumps import safe_dumps
from scripted import posted, serve

SETTLE_SECONDS = 0.5  # callbacks run after the answer
USER = [{"role": "user", "content": "Say something."}]
TOOL = {"name": "f", "parameters": {"type": "object", "properties": {}}}
PICTURE = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}},
]
RESPONSE_ITEMS = [
    {"role": "user", "content": [{"type": "input_text", "text": "Say something."}]},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "42"},
]


class Recorder(CustomLogger):
    """Keeps each payload as it would be sent, under the name of the call that is made just now."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, bytes]] = []
        self.payloads: list[dict[str, Any]] = []
        self.case = ""

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.payloads.append(kwargs["standard_logging_object"])
        self.rows.append((self.case, safe_dumps(kwargs["standard_logging_object"]).encode()))

    async_log_failure_event = async_log_success_event

    async def call(self, case: str, asked: Coroutine[Any, Any, Any]) -> None:
        self.case = case
        try:
            answer = await asked
            if hasattr(answer, "__aiter__"):
                async for _ in answer:
                    pass
        except litellm.exceptions.InternalServerError:
            assert "fail" in case
        await asyncio.sleep(SETTLE_SECONDS)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def record_chats(recorder: Recorder, server: dict[str, str]) -> None:
    asked: dict[str, dict[str, Any]] = {
        "chat": {},
        "tags": {"user": "u-1", "metadata": {"tags": ["team:shop", "beta"], "session_id": "s-1"}},
        "session": {"litellm_session_id": "s-2", "litellm_trace_id": "t-2"},
        "refusal": {"messages": user("refuse")},
        "reasoning": {"messages": user("think")},
        "filtered": {"messages": user("filtered")},
        "two choices": {"n": 2},
        "picture": {"messages": [{"role": "user", "content": PICTURE}]},
        "tools": {"tools": [{"type": "function", "function": TOOL}]},
        "stream": {"stream": True, "stream_options": {"include_usage": True}},
        "stream uncounted": {"stream": True},
        "failure": {"messages": user("fail")},
        "long": {"messages": user("long")},
        "long prompt": {"messages": [*user("long " * 4000), *USER]},
    }
    for case, changes in asked.items():
        await recorder.call(case, litellm.acompletion(**{"model": "openai/m", "messages": USER} | server | changes))
    chats = list(recorder.payloads)
    for case, payload in (("cut answer", chats[-2]), ("cut prompt", chats[-1])):
        cut = recorder.truncate_standard_logging_payload_content(payload)
        recorder.rows.append((case, safe_dumps(cut).encode()))
    litellm.cache = litellm.Cache()
    for case in ("cached first", "cached again"):
        await recorder.call(case, litellm.acompletion("openai/m", user("cache"), caching=True, **server))
    litellm.cache = None


async def record_other_calls(recorder: Recorder, server: dict[str, str]) -> None:
    bare = {"api_base": server["api_base"].removesuffix("/v1"), "api_key": "x"}
    model, text = {"model": "openai/m"} | server, {"model": "text-completion-openai/m"} | server
    tools = [{"type": "function"} | TOOL]
    sound = ("a.wav", BytesIO(b"RIFF0000WAVE"))
    messages = {"model": "anthropic/claude-x", "max_tokens": 9, "messages": USER, "system": "Be short."} | bare
    contents = [{"role": "user", "parts": [{"text": "Say something."}]}]
    calls = {
        "text": litellm.atext_completion(prompt="Once", **text),
        "text of two": litellm.atext_completion(prompt=["Once", "Twice"], **text),
        "text of tokens": litellm.atext_completion(prompt=[1, 2, 3], **text),
        "responses": litellm.aresponses(input="Say something.", instructions="Be short.", **model),
        "responses items": litellm.aresponses(input=RESPONSE_ITEMS, tools=tools, **model),
        "responses stream": litellm.aresponses(input="Say something.", stream=True, **model),
        "responses cut": litellm.aresponses(input="cut", **model),
        "messages": litellm.anthropic_messages(**messages),
        "generate content": agenerate_content(model="gemini/g-1", contents=contents, **bare),
        "embedding": litellm.aembedding(input=["a"], **model),
        "image": litellm.aimage_generation(prompt="a", **model | {"model": "openai/dall-e-3"}),
        "moderation": litellm.amoderation(input="a", **model | {"model": "openai/omni-moderation-latest"}),
        "transcription": litellm.atranscription(file=sound, **model | {"model": "openai/whisper-1"}),
        "speech": litellm.aspeech(input="a", voice="alloy", **model | {"model": "openai/tts-1"}),
        "rerank": litellm.arerank("cohere/r", "q", ["a"], api_base=bare["api_base"] + "/rerank", api_key="x"),
    }
    for case, call in calls.items():
        await recorder.call(case, call)


async def record_redacted(recorder: Recorder, server: dict[str, str]) -> None:
    litellm.turn_off_message_logging = True
    model = {"model": "openai/m"} | server
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    tools = [{"type": "function", "function": TOOL}]
    calls = {
        "redacted": litellm.acompletion(messages=USER, **model),
        "redacted stream": litellm.acompletion(messages=USER, **streamed, **model),
        "redacted tools": litellm.acompletion(messages=USER, tools=tools, **model),
        "redacted failure": litellm.acompletion(messages=user("fail"), **model),
        "redacted responses": litellm.aresponses(input="Say something.", **model),
        "redacted text": litellm.atext_completion(prompt="Once", **model | {"model": "text-completion-openai/m"}),
    }
    for case, call in calls.items():
        await recorder.call(case, call)
    litellm.turn_off_message_logging = False


async def record_batches(recorder: Recorder, server: dict[str, str]) -> None:
    """Take what the batching logger posts: an array, and lines."""
    logs = server["api_base"].removesuffix("/v1") + "/logs"
    payloads = recorder.payloads[:3]
    for form in ("json_array", "ndjson"):
        logger = GenericAPILogger(endpoint=logs, log_format=form)
        logger.log_queue = list(payloads)
        await logger.async_send_batch()
        recorder.rows.append((form, posted.pop()))


def record_proxy(port: int) -> list[tuple[str, bytes]]:
    """Run the proxy with a cache, a fallback and the batching logger, and take what it posts."""
    folder = Path("/tmp/litellm-proxy")  # noqa: S108 - a scratch folder of a script
    folder.mkdir(exist_ok=True)
    base = {"api_base": f"http://127.0.0.1:{port}/v1", "api_key": "x"}
    models = [
        {"model_name": "chat", "litellm_params": {"model": "openai/m"} | base},
        {"model_name": "broken", "litellm_params": {"model": "openai/failing"} | base},
    ]
    config = {
        "model_list": models,
        "router_settings": {"num_retries": 0, "fallbacks": [{"broken": ["chat"]}]},
        "litellm_settings": {"callbacks": ["generic_api"], "cache": True, "cache_params": {"type": "local"}},
        "general_settings": {"master_key": "sk-1"},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [str(Path(sys.executable).parent / "litellm"), "--config", str(folder / "config.yaml")]
    environment = os.environ | {"GENERIC_LOGGER_ENDPOINT": f"http://127.0.0.1:{port}/logs"}
    with (folder / "log").open("w") as log:
        proxy = subprocess.Popen([*command, "--port", "4999"], env=environment, stdout=log, stderr=log)
        try:
            wait_for("http://127.0.0.1:4999/health/liveliness")
            ask("chat", user="end-user-1", metadata={"tags": ["team:shop"], "session_id": "s-3", "plan": "gold"})
            ask("chat")
            ask("chat")  # from the cache
            ask("broken", messages=user("Something else."))  # falls back
            ask("nothing")  # no such model
            ask("chat", key="sk-wrong")
            time.sleep(12)  # the logger posts every few seconds
        finally:
            proxy.terminate()
            proxy.wait()
    return [("proxy", body) for body in posted]


def wait_for(url: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except OSError:
            time.sleep(1)


def ask(model: str, key: str = "sk-1", **more: Any) -> None:
    body = json.dumps({"model": model, "messages": USER} | more).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    try:
        request = urllib.request.Request("http://127.0.0.1:4999/v1/chat/completions", body, headers)
        urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        print(model, key, error.code)


async def record(port: int) -> list[tuple[str, bytes]]:
    recorder = Recorder()
    litellm.callbacks = [recorder]
    litellm.num_retries = 0
    server = {"api_base": f"http://127.0.0.1:{port}/v1", "api_key": "x"}
    for step in (record_chats, record_other_calls, record_redacted, record_batches):
        await step(recorder, server)
    return recorder.rows


if __name__ == "__main__":
    port = serve()
    rows = asyncio.run(record(port)) + record_proxy(port)
    with gzip.GzipFile(Path(__file__).parent / "recorded.jsonl.gz", "wb", mtime=0) as file:
        for case, value in rows:
            row = {"topic": "litellm", "key": base64.b64encode(case.encode()).decode(), "headers": []}
            file.write(json.dumps(row | {"value": base64.b64encode(value).decode()}).encode() + b"\n")
    print(len(rows), "rows")
