"""How a call was served and in which form it was asked for, as spans tell it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from monitor.ingest.formats.genai_chat import load
from monitor.ingest.formats.otlp_wire import FIRST_TOKEN_EVENT, Attributes, Span
from monitor.ingest.formats.output_form import output_form, schema_text

_FIRST_TOKEN_SECONDS = (
    "gen_ai.response.time_to_first_chunk",  # OpenTelemetry's
    "gen_ai.client.operation.time_to_first_chunk",  # Pydantic AI's
    "gen_ai.server.time_to_first_token",
    "gen_ai.latency.time_to_first_token",  # vLLM's
)
_FIRST_CHUNK_MS = "ai.response.msToFirstChunk"  # Vercel's
_FIRST_TOKEN_AT = "langfuse.observation.completion_start_time"  # noqa: S105 - an attribute's name
CACHED_INPUT_TOKENS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens",
)
_SHOWN_USAGE = "metadata.usage_object"  # LiteLLM's, as Python shows it
_SHOWN_CACHED = re.compile(r"'cached_tokens': (\d{1,9})\b")
INPUT_WITHOUT_CACHE = frozenset(  # scopes of spans that count what a cache had beside the input tokens, as Bedrock does
    {"opentelemetry.instrumentation.bedrock", "opentelemetry.instrumentation.botocore.bedrock-runtime"}
)
_INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
)
_SCHEMAS = ("gen_ai.request.structured_output_schema", "ai.schema")
_TYPES = ("gen_ai.output.type", "gen_ai.openai.request.response_format")
_REQUESTS = ("llm.invocation_parameters", "langfuse.observation.model.parameters")
_FORMS = frozenset({*_SCHEMAS, *_TYPES, *_REQUESTS})


def first_token_seconds(span: Span) -> float | None:
    """Return how long the first token of a streamed answer took; nothing that lies outside of the span."""
    attributes = span.attributes
    seconds = next((attributes[name] for name in _FIRST_TOKEN_SECONDS if name in attributes), None)
    if seconds is None and _FIRST_CHUNK_MS in attributes:
        seconds = _number(attributes[_FIRST_CHUNK_MS], 1e-3)
    if seconds is None and span.events:
        times = [event.time_ns for event in span.events if event.name == FIRST_TOKEN_EVENT]
        seconds = (min(times) - span.start_ns) / 1e9 if times and span.start_ns else None
    if seconds is None and _FIRST_TOKEN_AT in attributes and span.start_ns:
        seconds = _since(attributes[_FIRST_TOKEN_AT], span.start_ns)
    seconds = _number(seconds)
    longest = (span.end_ns - span.start_ns) / 1e9 if span.end_ns >= span.start_ns else 0.0
    return seconds if seconds is not None and 0.0 <= seconds <= longest else None


def with_cached_input(attributes: Attributes) -> Attributes:
    """Return *attributes* with all input tokens as one count, as OpenTelemetry's conventions want it."""
    counts = [count for name in _INPUT_TOKENS if isinstance(count := attributes.get(name), int)]
    return attributes | {_INPUT_TOKENS[0]: sum(counts)} if _INPUT_TOKENS[0] in attributes else attributes


def shown_cached_tokens(attributes: Attributes) -> int | None:
    """Return the cached tokens that LiteLLM's `otel` callback tells among other counts."""
    usage = attributes.get(_SHOWN_USAGE)
    found = _SHOWN_CACHED.search(usage) if isinstance(usage, str) else None
    return int(found[1]) if found else None


def asked_form(attributes: Attributes) -> tuple[str | None, str | None]:
    """Return the output type that was asked for, and its schema."""
    if _FORMS.isdisjoint(attributes):
        return None, None
    schema = next((found for name in _SCHEMAS if (found := schema_text(attributes.get(name))) is not None), None)
    if schema is not None:
        return "json", schema
    told = next((told for name in _TYPES if (told := attributes.get(name))), None)
    if told:
        kind = output_form(told)[0]
        return kind or (told if isinstance(told, str) else None), None
    for name in _REQUESTS:
        if name in attributes:
            request = load(attributes[name])[0]
            if isinstance(request, dict) and "response_format" in request:
                return output_form(request["response_format"])
    return None, None


def _number(value: Any, unit: float = 1.0) -> float | None:
    return value * unit if isinstance(value, int | float) and not isinstance(value, bool) else None


def _since(told: Any, start_ns: int) -> float | None:
    """Return the seconds from the start to a time in ISO 8601, in quotes as Langfuse writes it or without."""
    try:
        at = datetime.fromisoformat(str(told).strip('"').replace("Z", "+00:00"))
        return at.timestamp() - start_ns / 1e9
    except (ValueError, OverflowError, OSError):
        return None
