"""Langfuse, whose spans of the type `generation` are calls of a model."""

from __future__ import annotations

from monitor.ingest.formats.genai_chat import load
from monitor.ingest.formats.otlp_wire import Attributes

TYPE = "langfuse.observation.type"


def in_genai_words(attributes: Attributes) -> Attributes:
    """Return *attributes* with what they tell of a generation in the words of OpenTelemetry too."""
    if attributes[TYPE] != "generation":
        return attributes
    usage = load(attributes.get("langfuse.observation.usage_details"))[0]
    told = usage if isinstance(usage, dict) else {}
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": attributes.get("langfuse.observation.model.name"),
        "gen_ai.input.messages": attributes.get("langfuse.observation.input"),
        "gen_ai.output.messages": attributes.get("langfuse.observation.output"),
        "gen_ai.usage.input_tokens": told.get("input", told.get("prompt_tokens")),
        "gen_ai.usage.cache_read.input_tokens": told.get("input_cached_tokens", told.get("cache_read_input_tokens")),
        "gen_ai.usage.output_tokens": told.get("output", told.get("completion_tokens")),
    } | attributes
