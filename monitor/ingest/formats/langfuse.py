"""Langfuse, whose spans of the type `generation` are calls of a model."""

from __future__ import annotations

from typing import Any

from monitor.ingest.formats.genai_chat import load
from monitor.ingest.formats.otlp_wire import Attributes

TYPE = "langfuse.observation.type"
_CACHED = ("input_cache_read", "input_cached_tokens", "cache_read_input_tokens", "cached_tokens")


def in_genai_words(attributes: Attributes) -> Attributes:
    """Return *attributes* with what they tell of a generation in the words of OpenTelemetry too."""
    if attributes[TYPE] != "generation":
        return attributes
    usage = load(attributes.get("langfuse.observation.usage_details"))[0]
    told = usage if isinstance(usage, dict) else {}
    details = told.get("prompt_tokens_details")
    if isinstance(details, dict):
        told = told | {"cached_tokens": details.get("cached_tokens")}
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": attributes.get("langfuse.observation.model.name"),
        "gen_ai.input.messages": attributes.get("langfuse.observation.input"),
        "gen_ai.output.messages": attributes.get("langfuse.observation.output"),
        "gen_ai.usage.input_tokens": _sum(told, "input") if "input" in told else told.get("prompt_tokens"),
        "gen_ai.usage.cache_read.input_tokens": next((told[name] for name in _CACHED if name in told), None),
        "gen_ai.usage.output_tokens": _sum(told, "output") if "output" in told else told.get("completion_tokens"),
    } | attributes


def _sum(usage: dict[str, Any], side: str) -> int:
    """Return the tokens of one side: Langfuse counts those from a cache, or of thoughts, beside the others."""
    return sum(count for name, count in usage.items() if side in name.split("_") and isinstance(count, int))
