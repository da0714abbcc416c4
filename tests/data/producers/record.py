"""Write `NAME.pb.gz`: what an instrumented client exports of the calls of `script.json`.

python record.py NAME, in a virtual environment with the packages that the README names for it.
"""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import clients
import frameworks
from scripted import exported, serve
from watched import Watched

CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
MLFLOW = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "200"}
LATEST = {"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}

PRODUCERS: dict[str, tuple[Callable[[str, Watched], None], dict[str, str]]] = {  # and their environment
    "anthropic": (clients.anthropic, {"ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content"}),
    "openinference_anthropic": (clients.openinference_anthropic, {}),
    "openllmetry_anthropic": (clients.openllmetry_anthropic, {}),
    "openllmetry_anthropic_events": (clients.openllmetry_anthropic_events, {}),
    "openinference_google": (clients.openinference_google, {}),
    "openllmetry_google": (clients.openllmetry_google, {}),
    "semconv_google": (clients.semconv_google, LATEST | {CONTENT: "span_only"}),
    "semconv_google_events": (clients.semconv_google, LATEST | {CONTENT: "event_only"}),
    "openinference_bedrock": (clients.openinference_bedrock, {}),
    "openllmetry_bedrock": (clients.openllmetry_bedrock, {}),
    "semconv_bedrock": (clients.semconv_bedrock, {CONTENT: "true"}),
    "openinference_langchain": (frameworks.openinference_langchain, {}),
    "openinference_langchain_openai": (frameworks.openinference_langchain_openai, {}),
    "openllmetry_langchain": (frameworks.openllmetry_langchain, {}),
    "openllmetry_langchain_openai": (frameworks.openllmetry_langchain_openai, {}),
    "openllmetry_langchain_semconv": (frameworks.openllmetry_langchain_semconv, LATEST | {CONTENT: "span_only"}),
    "openinference_mistral": (clients.openinference_mistral, {}),
    "openllmetry_mistral": (clients.openllmetry_mistral, {}),
    "openinference_llamaindex": (frameworks.openinference_llamaindex, {}),
    "openinference_llamaindex_openai": (frameworks.openinference_llamaindex_openai, {}),
    "openllmetry_llamaindex": (frameworks.openllmetry_llamaindex, {}),
    "pydantic_ai": (frameworks.pydantic_ai, {}),
    "openinference_agents": (frameworks.openinference_agents, {}),
    "openinference_agents_openai": (frameworks.openinference_agents_openai, {}),
    "openllmetry_agents": (frameworks.openllmetry_agents, {}),
    "semconv_agents": (frameworks.semconv_agents, {CONTENT: "span_only"}),
    "langfuse_openai": (frameworks.langfuse_openai, {}),
    "langfuse_langchain": (frameworks.langfuse_langchain, {}),
    "openinference_haystack": (frameworks.openinference_haystack, {}),
    "openinference_haystack_openai": (frameworks.openinference_haystack_openai, {}),
    "openinference_crewai": (frameworks.openinference_crewai, {"CREWAI_DISABLE_TELEMETRY": "true"}),
    "mlflow_openai": (frameworks.mlflow_openai, MLFLOW),
    "openinference_dspy": (frameworks.openinference_dspy, {}),
}


def write(name: str, watched: Watched) -> None:
    """Write each export after its length, as the OpenTelemetry Collector's file exporter does."""
    with gzip.GzipFile(Path(__file__).parent / f"{name}.pb.gz", "wb", mtime=0) as file:
        merged = [b"".join(exported)] if exported else None  # bytes of protobuf behind each other are one message
        for value in merged or [message.SerializeToString() for message in watched.exported()]:
            file.write(len(value).to_bytes(4, "big") + value)


def main(name: str) -> None:
    produce, environment = PRODUCERS[name]
    os.environ.update(environment)
    watched = Watched()
    produce(serve(), watched)
    write(name, watched)


if __name__ == "__main__":
    main(sys.argv[1])
