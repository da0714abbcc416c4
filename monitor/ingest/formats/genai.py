"""From a span or a log line to what it tells of a model call, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.ingest.formats import langfuse, mlflow
from monitor.ingest.formats.genai_asker import Asker, find_asker, first_text
from monitor.ingest.formats.genai_chat import Chat, load, told, word
from monitor.ingest.formats.genai_events import event_name, read_event, read_texts
from monitor.ingest.formats.genai_indexed import read_indexed
from monitor.ingest.formats.genai_serving import (
    CACHED_INPUT_TOKENS,
    INPUT_WITHOUT_CACHE,
    asked_form,
    first_token_seconds,
    shown_cached_tokens,
    with_cached_input,
)
from monitor.ingest.formats.openinference import (
    KIND,
    asks_for_an_answer,
    read_openinference,
    requested_model,
    told_by_response,
)
from monitor.ingest.formats.otlp_wire import SCOPE, Attributes, LogLine, Span, SpanEvent
from monitor.ingest.formats.vercel import OPERATION, is_model_call, read_vercel
from monitor.ingest.part import Part, PartKind

MAX_ERROR_CHARACTERS = 10_000
MAX_COUNT = 1_000_000_000  # as in the native form
_CALLS = frozenset({"chat", "text_completion", "generate_content", "completion", "response", "responses", "message"})
_CALLS |= {"chat.completions", "text.completions"}  # Semantic Kernel's
_CALLS |= {"acompletion", "atext_completion", "aresponses", "agenerate_content", "anthropic_messages"}  # LiteLLM's
_OTHER_OPERATIONS = frozenset({"execute_tool", "create_agent", "invoke_agent", "invoke_workflow"})  # they hold messages
_MODEL = (
    "gen_ai.response.model",
    "llm.response.model_name",
    "llm.response.model",
    "ai.response.model",
    "llm.model_name",
)
_REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model_name", "llm.request.model", "ai.model.id")
_INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
)
_OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
)
_FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "llm.response.finish_reason",
    "anthropic.message.stop_reason",  # of Anthropic's own client
)
_OF_ANSWERS = (*_OUTPUT_TOKENS, *_FINISH, "gen_ai.is_streaming")  # OpenLLMetry's, where a stream of responses failed
_RESPONSE_ID = ("gen_ai.response.id", "llm.response.id", "ai.response.id", "gen_ai.request.id")
_CACHED = ("litellm.cache_hit", "cache_hit", "metadata.cache_hit", "gen_ai.response.cache_hit")
_LITELLM_TOOL = "gen_ai.completion.0.function_call.name"  # the messages beside it tell of no calls
_ANSWERS = ("gen_ai.output.messages", "gen_ai.completion.", "llm.output_messages.")
_PICTURES = frozenset({"image_generation", "aimage_generation"})  # LiteLLM's functions, as OpenInference names them
_LEAST_LIMIT = 32  # shorter texts are as long as others by chance


def is_call(attributes: Attributes, dropped: int = 0) -> bool:
    """Say whether a span with *attributes* is one call of a model for an answer.

    Where some were *dropped*, what it was for may be among them, and its answer tells.
    """
    kind, operation = attributes.get(KIND), word(attributes.get("gen_ai.operation.name"))
    if kind is not None:
        return kind == "LLM" and asks_for_an_answer(attributes)
    if operation is not None:
        return operation in _CALLS or (operation not in _OTHER_OPERATIONS and "gen_ai.output.messages" in attributes)
    if OPERATION in attributes:
        return is_model_call(attributes[OPERATION])
    if "llm.request.type" in attributes:
        return word(attributes["llm.request.type"]) in _CALLS
    named = "gen_ai.request.model" in attributes or "gen_ai.response.model" in attributes
    if named and "traceloop.span.kind" not in attributes and any(attributes.get(name) for name in _OF_ANSWERS):
        return True  # vLLM's server tells no more than that
    return dropped > 0 and any(name.startswith(_ANSWERS) for name in attributes)


def part_of_span(span: Span, keys: frozenset[str]) -> Part:
    """Return what *span* tells: a call with its own events' texts, or the context that other spans ask for."""
    attributes = span.attributes
    if langfuse.TYPE in attributes:
        attributes = span.attributes = langfuse.in_genai_words(attributes)
    elif mlflow.TYPE in attributes:
        attributes = span.attributes = mlflow.in_genai_words(attributes)
    elif span.outer.get(SCOPE) in INPUT_WITHOUT_CACHE:
        attributes = span.attributes = with_cached_input(attributes)
    asker = find_asker(attributes, span.outer, keys)
    if not is_call(attributes, span.dropped) or (KIND in attributes and span.name in _PICTURES):
        return Part(
            kind=PartKind.CONTEXT,
            trace=span.trace,
            span=span.span,
            parent=span.parent if span.parent.strip("0") else None,
            start_ns=span.start_ns or None,
            end_ns=span.end_ns or None,
            conversation_id=asker.conversation_id,
            user_id=asker.user_id,
            labels=asker.labels,
        )
    failed, chat = span.failed or "error.type" in attributes, _chat_of(span)
    return Part(
        kind=PartKind.CALL,
        trace=span.trace,
        span=span.span,
        parent=span.parent if span.parent.strip("0") else None,
        start_ns=span.start_ns or None,
        end_ns=span.end_ns or None,
        error=_error(span) if failed else (chat.error or "")[:MAX_ERROR_CHARACTERS] or None,
        scope=span.outer.get(SCOPE) or None,
        cached=first_text(attributes, _CACHED) in {"true", "True"},
        first_token_seconds=first_token_seconds(span),
        **_told(attributes, asker, chat),
    )


def part_of_line(line: LogLine, keys: frozenset[str]) -> Part | None:
    """Return the texts that *line* tells of a call; None where it tells of none."""
    attributes = line.event.attributes
    chat = read_event(event_name(line.event), line.event)
    if chat is None:
        return None
    part = Part(
        kind=PartKind.CONTENT,
        trace=line.trace,
        span=line.span,
        end_ns=line.event.time_ns or None,
        error=(first_text(attributes, ("error.message", "error.type")) or "")[:MAX_ERROR_CHARACTERS] or None,
        **_told(attributes, find_asker(attributes, line.outer, keys), chat),
    )
    says = part.messages or part.response or part.tool_calls or part.finish_reason or part.model or part.error
    return part if says else None


def _told(attributes: Attributes, asker: Asker, chat: Chat) -> dict[str, Any]:
    """Return the fields of a part that spans and log lines tell in the same words."""
    model, response_id = first_text(attributes, _MODEL), first_text(attributes, _RESPONSE_ID)
    request_model = first_text(attributes, _REQUEST_MODEL)
    if KIND in attributes:
        answered_by, answer = told_by_response(attributes)
        model, response_id = answered_by or model, response_id or answer
    if request_model is None and KIND in attributes:
        request_model = requested_model(attributes)
    input_tokens, output_tokens = count(attributes, _INPUT_TOKENS), count(attributes, _OUTPUT_TOKENS)
    cached = count(attributes, CACHED_INPUT_TOKENS)
    output_type, output_schema = asked_form(attributes)
    return {
        "model": model,
        "request_model": request_model,
        "conversation_id": asker.conversation_id,
        "user_id": asker.user_id,
        "labels": asker.labels,
        "messages": chat.messages,
        "response": chat.response,
        "finish_reason": finish_reason(attributes) or chat.finish_reason,
        "input_tokens": None if chat.messages and not input_tokens else input_tokens,  # nobody counted
        "output_tokens": None if chat.response is not None and not output_tokens else output_tokens,
        "cached_input_tokens": shown_cached_tokens(attributes) if cached is None else cached,
        "output_type": output_type,
        "output_schema": output_schema,
        "tool_calls": chat.tool_calls,
        "truncated": chat.truncated,
        "response_id": response_id,
    }


def finish_reason(attributes: Attributes) -> str | None:
    """Return the first choice's reason: of a list, a list as JSON, or a word."""
    for name in _FINISH:
        found = load(attributes.get(name))[0]
        if isinstance(found, list):
            found = next(iter(found), None)
        if isinstance(found, str) and found:
            return found
    return None


def count(attributes: Attributes, names: tuple[str, ...]) -> int | None:
    """Return the first of *names* that is a count; producers write -1 and the like where they do not know."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 12:
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
            return int(value)
    return None


def _chat_of(span: Span) -> Chat:
    """Read the span's texts: as the conventions of today have them, else in an older or another way."""
    attributes = span.attributes
    chat = Chat()
    read_texts(attributes, chat)
    others = [event for event in span.events if event.name.startswith("gen_ai.")]
    if others:
        _read_events(others, chat)
    if KIND in attributes:
        chat.fill(read_openinference(attributes))
    elif OPERATION in attributes:
        chat.fill(read_vercel(attributes))
    if not chat.messages or (not chat.tool_calls and (chat.response is None or _LITELLM_TOOL in attributes)):
        chat.fill(read_indexed(attributes))
    if chat.messages or chat.response is not None:
        chat.truncated = chat.truncated or _looks_cut(chat, span)
    return chat


def _read_events(events: Iterable[SpanEvent], chat: Chat) -> None:
    told_here = Chat()
    for event in sorted(events, key=lambda event: event.time_ns):
        found = read_event(event_name(event), event)
        if found is not None:
            told_here.messages += found.messages
            found.messages = ()
            told_here.fill(found)
    chat.fill(told_here)


def _looks_cut(chat: Chat, span: Span) -> bool:
    """Say whether texts outside JSON were cut by a limit on the length of attributes, or lost by one on their number.

    A limit shows in the longest values: several that differ are as long as it.
    """
    numbered = any(name.endswith(".content") for name in span.attributes)
    if not numbered:
        return False
    if span.dropped:
        return True
    texts = {text for text in span.attributes.values() if isinstance(text, str) and len(text) >= _LEAST_LIMIT}
    longest = max(map(len, texts), default=0)
    if sum(len(text) == longest for text in texts) < 2:
        return False
    return any(len(text) == longest for _, text in chat.messages) or len(chat.response or "") == longest


def _error(span: Span) -> str:
    exception = next((event.attributes for event in span.events if event.name == "exception"), {})
    told_of: list[Any] = [
        span.message,
        exception.get("exception.message"),
        span.attributes.get("error.message"),
        exception.get("exception.type"),
        span.attributes.get("error.type"),
    ]
    return next((text for each in told_of if (text := told(each))), "the span's status is ERROR")[:MAX_ERROR_CHARACTERS]
