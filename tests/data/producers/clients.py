"""Clients of providers, each watched by several instrumentations."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from scripted import MODEL, SCRIPT
from watched import TOOL, Watched, drained

# Anthropic's client


def anthropic_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if message["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": message["id"], "content": content}
        return {"role": "user", "content": [result]}
    blocks = [
        {"type": "text", "text": part} if isinstance(part, str) else
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": part["image"]}}
        for part in ([content] if isinstance(content, str) else content) if part
    ]  # fmt: skip
    for tool in message.get("tool_calls", ()):
        blocks.append({"type": "tool_use", "id": tool["id"], "name": tool["name"], "input": tool["arguments"]})
    plain = isinstance(content, str) and "tool_calls" not in message
    return {"role": message["role"], "content": content if plain else blocks}


def ask_anthropic(url: str, watched: Watched) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}
    for call in SCRIPT:
        asked = [each for each in call["messages"] if each["role"] != "system"]
        more: dict[str, Any] = {"tools": [tool]}
        if len(asked) < len(call["messages"]):
            more["system"] = call["messages"][0]["content"]
        if "thinking" in call:
            more["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        request = {"model": MODEL, "max_tokens": 2048, "messages": list(map(anthropic_message, asked)), **more}
        with watched.request(call), suppress(anthropic.RateLimitError):
            if call["name"] == "streamed tool":  # in the client's own way
                with client.messages.stream(**request) as stream:
                    drained(stream)
            elif call.get("streamed"):
                drained(client.messages.create(stream=True, **request))
            else:
                client.messages.create(**request)
    client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "How many?"}])


def openinference_anthropic(url: str, watched: Watched) -> None:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_anthropic(url, watched)


def openllmetry_anthropic(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_anthropic(url, watched)


def openllmetry_anthropic_events(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor(use_attributes=False).instrument(
        tracer_provider=watched.tracers, logger_provider=watched.loggers
    )
    ask_anthropic(url, watched)


def anthropic(url: str, watched: Watched) -> None:
    ask_anthropic(url, watched)  # it has spans of its own


# Google's client


def google_content(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if message["role"] == "tool":
        result = {"name": message["name"], "id": message["id"], "response": {"result": content}}
        return {"role": "user", "parts": [{"function_response": result}]}
    parts: list[dict[str, Any]] = [
        {"text": part} if isinstance(part, str) else
        {"inline_data": {"mime_type": "image/png", "data": part["image"]}}
        for part in ([content] if isinstance(content, str) else content) if part
    ]  # fmt: skip
    for tool in message.get("tool_calls", ()):
        parts.append({"function_call": {"id": tool["id"], "name": tool["name"], "args": tool["arguments"]}})
    return {"role": "model" if message["role"] == "assistant" else "user", "parts": parts}


def ask_google(url: str, watched: Watched) -> None:
    from google import genai
    from google.genai import errors

    client = genai.Client(api_key="none", http_options={"base_url": url})
    for call in SCRIPT:
        asked = [each for each in call["messages"] if each["role"] != "system"]
        config: dict[str, Any] = {"tools": [{"function_declarations": [TOOL]}]}
        if len(asked) < len(call["messages"]):
            config["system_instruction"] = call["messages"][0]["content"]
        contents: Any = list(map(google_content, asked))
        if call["name"] in {"chat", "cut"}:
            contents = asked[0]["content"]  # as most write it
        request = {"model": MODEL, "contents": contents, "config": config}
        with watched.request(call), suppress(errors.APIError):
            if call.get("streamed"):
                drained(client.models.generate_content_stream(**request))
            else:
                client.models.generate_content(**request)
    client.models.count_tokens(model=MODEL, contents="How many?")
    client.models.embed_content(model="embed-1", contents="a text")


def openinference_google(url: str, watched: Watched) -> None:
    from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor

    GoogleGenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_google(url, watched)


def openllmetry_google(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.google_generativeai import GoogleGenerativeAiInstrumentor

    GoogleGenerativeAiInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_google(url, watched)


def semconv_google(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

    GoogleGenAiSdkInstrumentor().instrument(tracer_provider=watched.tracers, logger_provider=watched.loggers)
    ask_google(url, watched)


# Amazon's client, by the Converse API


def bedrock_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if message["role"] == "tool":
        result = {"toolUseId": message["id"], "content": [{"text": content}]}
        return {"role": "user", "content": [{"toolResult": result}]}
    blocks: list[dict[str, Any]] = [
        {"text": part} if isinstance(part, str) else {"image": {"format": "png", "source": {"bytes": b"png"}}}
        for part in ([content] if isinstance(content, str) else content) if part
    ]  # fmt: skip
    for tool in message.get("tool_calls", ()):
        blocks.append({"toolUse": {"toolUseId": tool["id"], "name": tool["name"], "input": tool["arguments"]}})
    return {"role": message["role"], "content": blocks}


def ask_bedrock(url: str, watched: Watched) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    client = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=Config(retries={"max_attempts": 1}),
        aws_access_key_id="none", aws_secret_access_key="none",
    )  # fmt: skip
    specification = {
        "name": TOOL["name"],
        "description": TOOL["description"],
        "inputSchema": {"json": TOOL["parameters"]},
    }
    for call in SCRIPT:
        asked = [each for each in call["messages"] if each["role"] != "system"]
        request: dict[str, Any] = {
            "modelId": MODEL, "messages": list(map(bedrock_message, asked)), "inferenceConfig": {"maxTokens": 99},
            "toolConfig": {"tools": [{"toolSpec": specification}]},
        }  # fmt: skip
        if len(asked) < len(call["messages"]):
            request["system"] = [{"text": call["messages"][0]["content"]}]
        with watched.request(call), suppress(ClientError):
            if call.get("streamed"):
                drained(client.converse_stream(**request)["stream"])
            else:
                client.converse(**request)


def openinference_bedrock(url: str, watched: Watched) -> None:
    from openinference.instrumentation.bedrock import BedrockInstrumentor

    BedrockInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_bedrock(url, watched)


def openllmetry_bedrock(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.bedrock import BedrockInstrumentor

    BedrockInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_bedrock(url, watched)


def semconv_bedrock(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

    BotocoreInstrumentor().instrument(tracer_provider=watched.tracers, logger_provider=watched.loggers)
    ask_bedrock(url, watched)


# Mistral's client


def as_openai(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if message["role"] == "tool":
        return {"role": "tool", "tool_call_id": message["id"], "name": message["name"], "content": content}
    if not isinstance(content, str):
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{part['image']}"}}
            for part in content
        ]  # fmt: skip
    asked = {"role": message["role"], "content": content}
    if "tool_calls" in message:
        asked["tool_calls"] = [
            {
                "id": tool["id"], "type": "function",
                "function": {"name": tool["name"], "arguments": json.dumps(tool["arguments"])},
            }
            for tool in message["tool_calls"]
        ]  # fmt: skip
    return asked


def ask_mistral(url: str, watched: Watched) -> None:
    try:
        from mistralai.client import Mistral
        from mistralai.client.errors import SDKError
    except ImportError:  # before 2
        from mistralai import Mistral
        from mistralai.models import SDKError

    client = Mistral(server_url=f"{url}/mistral", api_key="none")
    for call in SCRIPT:
        request = {
            "model": MODEL, "messages": list(map(as_openai, call["messages"])),
            "tools": [{"type": "function", "function": TOOL}],
        }  # fmt: skip
        with watched.request(call), suppress(SDKError):
            if call.get("streamed"):
                drained(client.chat.stream(**request))
            else:
                client.chat.complete(**request)
    client.embeddings.create(model="embed-1", inputs=["a text"])


def openinference_mistral(url: str, watched: Watched) -> None:
    from openinference.instrumentation.mistralai import MistralAIInstrumentor

    MistralAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_mistral(url, watched)


def openllmetry_mistral(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.mistralai import MistralAiInstrumentor

    MistralAiInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_mistral(url, watched)
