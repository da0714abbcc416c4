"""Write `NAME.pb.gz`: what an instrumented client exports of the calls of `script.json`.

python record.py NAME, in a virtual environment with the packages that the README names for it.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from scripted import MODEL, SCRIPT, serve

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}
TOOL = {
    "name": "weather", "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}  # fmt: skip


class Watched:
    """The providers that a producer is given, and what it exports."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        resource = Resource({"service.name": "shop-assistant"})
        self.tracers, self.loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
        self.spans, self.logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        trace.set_tracer_provider(self.tracers)

    @contextmanager
    def request(self, call: dict[str, Any]) -> Iterator[None]:
        """Stand around one call, as the span of a web server does; it says whose the call is."""
        who = {"session.id": call["name"], "user.id": "u-1"}
        with self.tracers.get_tracer("tests").start_as_current_span("handle-request", attributes=who):
            yield

    def exported(self) -> Iterator[Any]:
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        self.tracers.force_flush()
        yield encode_spans(self.spans.get_finished_spans())
        if lines := self.logs.get_finished_logs():
            yield encode_logs(lines)


def drained(streamed: Any) -> None:
    deque(streamed, maxlen=0)


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


# LangChain and LangGraph, on OpenAI's client


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


def ask_langchain(url: str, request: Callable[[dict[str, Any]], Any] = lambda _: nullcontext()) -> None:
    """Call the model within a graph, and tell whose call it is as LangGraph's users do."""
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, MessagesState, StateGraph
    from openai import RateLimitError

    def model(state: MessagesState) -> dict[str, Any]:
        streamed = next(call for call in SCRIPT if as_openai(call["messages"][-1])["content"] in
                        [state["messages"][-1].content]).get("streamed", False)  # fmt: skip
        chat = ChatOpenAI(
            model=MODEL, base_url=f"{url}/v1", api_key="none", max_retries=0, streaming=streamed, stream_usage=True
        ).bind_tools([{"type": "function", "function": TOOL}])
        return {"messages": [chat.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_edge(START, "model")
    graph.add_edge("model", END)
    compiled = graph.compile()
    for call in SCRIPT:
        config: Any = {"configurable": {"thread_id": call["name"]}, "metadata": {"user_id": "u-1"}}
        with request(call), suppress(RateLimitError):
            compiled.invoke({"messages": list(map(as_openai, call["messages"]))}, config)


def openinference_langchain(url: str, watched: Watched) -> None:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url)


def openinference_langchain_openai(url: str, watched: Watched) -> None:
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url, watched.request)


def openllmetry_langchain(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url)


def openllmetry_langchain_openai(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers)
    ask_langchain(url, watched.request)


def openllmetry_langchain_semconv(url: str, watched: Watched) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=watched.tracers)
    OpenAIInstrumentor().instrument(tracer_provider=watched.tracers, logger_provider=watched.loggers)
    ask_langchain(url, watched.request)


# Mistral's client


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


PRODUCERS: dict[str, tuple[Callable[[str, Watched], None], dict[str, str]]] = {  # and their environment
    "anthropic": (anthropic, {"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"}),
    "openinference_anthropic": (openinference_anthropic, {}),
    "openllmetry_anthropic": (openllmetry_anthropic, {}),
    "openllmetry_anthropic_events": (openllmetry_anthropic_events, {}),
    "openinference_google": (openinference_google, {}),
    "openllmetry_google": (openllmetry_google, {}),
    "semconv_google": (semconv_google, LATEST | {CONTENT: "span_only"}),
    "semconv_google_events": (semconv_google, LATEST | {CONTENT: "event_only"}),
    "openinference_bedrock": (openinference_bedrock, {}),
    "openllmetry_bedrock": (openllmetry_bedrock, {}),
    "semconv_bedrock": (semconv_bedrock, {CONTENT: "true"}),
    "openinference_langchain": (openinference_langchain, {}),
    "openinference_langchain_openai": (openinference_langchain_openai, {}),
    "openllmetry_langchain": (openllmetry_langchain, {}),
    "openllmetry_langchain_openai": (openllmetry_langchain_openai, {}),
    "openllmetry_langchain_semconv": (openllmetry_langchain_semconv, LATEST | {CONTENT: "span_only"}),
    "openinference_mistral": (openinference_mistral, {}),
    "openllmetry_mistral": (openllmetry_mistral, {}),
}


def write(name: str, watched: Watched) -> None:
    """Write each export after its length, as the OpenTelemetry Collector's file exporter does."""
    with gzip.GzipFile(Path(__file__).parent / f"{name}.pb.gz", "wb", mtime=0) as file:
        for message in watched.exported():
            value = message.SerializeToString()
            file.write(len(value).to_bytes(4, "big") + value)


def main(name: str) -> None:
    produce, environment = PRODUCERS[name]
    os.environ.update(environment)
    watched = Watched()
    produce(serve(), watched)
    write(name, watched)


if __name__ == "__main__":
    main(sys.argv[1])
