"""MLflow, whose spans of the types `CHAT_MODEL` and `LLM` are calls of a model; it writes each value as JSON."""

from __future__ import annotations

from typing import Any

from monitor.ingest.formats.genai_chat import load, word
from monitor.ingest.formats.otlp_wire import Attributes

TYPE = "mlflow.spanType"
_CALLS = frozenset({'"CHAT_MODEL"', '"LLM"'})


def in_genai_words(attributes: Attributes) -> Attributes:
    """Return *attributes* with what they tell of a call in the words of OpenTelemetry too."""
    if attributes[TYPE] not in _CALLS:
        return attributes
    request, answer = _object(attributes, "mlflow.spanInputs"), _object(attributes, "mlflow.spanOutputs")
    usage = _object(attributes, "mlflow.chat.tokenUsage")
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": request.get("model"),
        "gen_ai.response.model": word(str(attributes.get("mlflow.llm.model", "")).strip('"')),
        "gen_ai.response.id": answer.get("id"),
        "gen_ai.input.messages": next(
            (request[name] for name in ("messages", "input", "prompt") if name in request), None
        ),
        "gen_ai.system_instructions": request.get("instructions") or request.get("system"),
        "gen_ai.output.messages": attributes.get("mlflow.spanOutputs"),
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.cache_read.input_tokens": usage.get("cache_read_input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
    }
    return {name: value for name, value in told.items() if value is not None} | attributes


def _object(attributes: Attributes, name: str) -> dict[str, Any]:
    found = load(attributes.get(name))[0]
    return found if isinstance(found, dict) else {}
