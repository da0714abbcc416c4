"""LiteLLM's StandardLoggingPayload, as far as it is read; operators may leave out any field of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec
from msgspec import Struct

from monitor.ingest.formats.native import MAX_ERROR_CHARACTERS, MAX_NAME_CHARACTERS, MAX_NUMBER, Count, Text
from monitor.ingest.formats.output_form import output_form

ANSWERING = frozenset(  # the call types whose answer is a policy's; of others, those whose response looks like one
    {"completion", "text_completion", "responses", "anthropic_messages", "generate_content", "generate_content_stream"}
)
_USUAL = ANSWERING | {kind.removeprefix("a") for kind in ANSWERING}
NOBODY = "default_user_id"  # whom the proxy names where keys have no owners
TURNED_AWAY = frozenset(  # LiteLLM itself said no: no model was called
    {"ProxyException", "ProxyModelNotFoundError", "HTTPException", "BudgetExceededError"}
)


class LitellmPart(Struct, frozen=True, gc=False):
    text: str | None = None
    refusal: str | None = None


Content = str | list[LitellmPart | str] | None


class LitellmMessage(Struct, frozen=True):
    """A message, or an item that the Responses API takes in a message's place."""

    role: Text | None = None
    content: Content = None
    type: str | None = None
    output: Any = None  # of a tool


class LitellmRefusal(Struct, frozen=True, gc=False):
    refusal: str | None = None


class LitellmAnswer(Struct, frozen=True):
    content: Content = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    provider_specific_fields: LitellmRefusal | None = None

    @property
    def said(self) -> str:
        """The answer, or why there is none; never the reasoning."""
        beside = self.provider_specific_fields.refusal if self.provider_specific_fields else None
        return joined(self.content) or self.refusal or beside or ""


class LitellmChoice(Struct, frozen=True):
    message: LitellmAnswer | None = None
    text: str | None = None
    finish_reason: Text | None = None


class LitellmIncomplete(Struct, frozen=True, gc=False):
    reason: Text | None = None


class LitellmResponse(Struct, frozen=True):
    """A chat or text completion has choices, the Responses API items of output."""

    model: Text | None = None
    choices: list[LitellmChoice] | None = None
    output: list[LitellmMessage] | str | None = None
    status: Text | None = None
    incomplete_details: LitellmIncomplete | None = None
    error: Any = None  # of one of OpenAI's Responses that failed beside a status of 200
    usage: Any = None

    @property
    def failure(self) -> str | None:
        """Why the model failed, where the response says so."""
        told = self.error.get("message") or self.error.get("code") if _is(self.error) else None
        return told[:MAX_ERROR_CHARACTERS] or None if isinstance(told, str) else None


class LitellmError(Struct, frozen=True, gc=False):
    error_class: str | None = None
    error_message: str | None = None
    llm_provider: str | None = None


class LitellmParameters(Struct, frozen=True):
    user: Text | int | None = None
    instructions: str | None = None
    response_format: Any = None
    text: Any = None  # of the Responses API, which has the form in it


class LitellmHidden(Struct, frozen=True):
    additional_headers: dict[str, Any] | None = None


class LitellmKind(Struct, frozen=True):
    """What tells whether a payload is for us; the rest of others is not looked at."""

    call_type: str | None = None
    cache_hit: bool | None = None
    status: str | None = None
    custom_llm_provider: str | None = None
    error_information: LitellmError | None = None
    response: msgspec.Raw = msgspec.Raw()

    @property
    def asks_a_model(self) -> bool:
        """Whether a model was asked for an answer: not for an embedding, and not turned away before."""
        error, kind = self.error_information, self.call_type
        is_unanswered = self.status == "failure" and error is not None and not error.llm_provider
        if is_unanswered and (not self.custom_llm_provider or (error and error.error_class in TURNED_AWAY)):
            return False
        if not kind or kind in ANSWERING or kind.removeprefix("a") in ANSWERING:
            return True
        response = bytes(self.response)
        return b'"choices"' in response or b'"output"' in response


class LitellmPayload(Struct, frozen=True):
    """One call."""

    id: str | None = None
    litellm_call_id: str | None = None
    call_type: str | None = None
    cache_hit: bool | None = None
    trace_id: Text | None = None  # the session's, where one was given
    session_id: Text | None = None
    status: str | None = None
    startTime: float | str | None = None  # noqa: N815 - as it is written
    endTime: float | str | None = None  # noqa: N815
    completionStartTime: Any = None  # noqa: N815 - of an answer that was not streamed its end
    stream: Any = None
    response_time: float | None = None
    model: Text | None = None
    model_group: Text | None = None
    custom_llm_provider: Text | None = None
    end_user: Text | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    request_tags: list[Any] | None = None
    metadata: dict[str, Any] | None = None
    model_parameters: LitellmParameters | None = None
    hidden_params: LitellmHidden | None = None
    messages: str | list[LitellmMessage | str | int | list[Any]] | LitellmMessage | None = None
    response: LitellmResponse | str | list[Any] | None = None
    error_str: str | None = None
    error_information: LitellmError | None = None

    @property
    def is_usual(self) -> bool:
        """Whether a model was asked and answered, by what it says of itself; else `LitellmKind` decides."""
        kind = (self.call_type or "").removeprefix("a")
        return kind in _USUAL and self.status == "success" and not self.cache_hit

    @property
    def name(self) -> str | None:
        """The call's name; an attempt after others that failed shares theirs, so it gets its number too."""
        call = self.litellm_call_id
        if not call:
            return self.id or None
        headers = (self.hidden_params and self.hidden_params.additional_headers) or {}
        before = [headers.get(f"x-litellm-attempted-{kind}") for kind in ("retries", "fallbacks")]
        attempts = sum(count for count in before if isinstance(count, int))
        return f"{call}-{attempts}" if attempts > 0 else call

    @property
    def error(self) -> str | None:
        if self.status != "failure" and (self.status or not self.error_str):
            return None
        known = self.error_information or LitellmError()
        told = self.error_str or known.error_message or known.error_class or "failure"
        return told[:MAX_ERROR_CHARACTERS]

    @property
    def conversation_id(self) -> str | None:
        return first_name(self.session_id, self.trace_id)

    @property
    def user_id(self) -> str | None:
        metadata = self.metadata or {}
        asked = metadata.get("requester_metadata")
        owner = metadata.get("user_api_key_user_id")
        return first_name(
            self.end_user,
            metadata.get("user_api_key_end_user_id"),
            self.model_parameters and self.model_parameters.user,
            asked.get("user_id") if isinstance(asked, dict) else None,
            None if owner == NOBODY else owner,
        )

    @property
    def cached_input_tokens(self) -> int | None:
        """Tokens of the prompt that the provider had in its cache, where it says so."""
        usages = (self.metadata or {}).get("usage_object"), getattr(self.response, "usage", None)
        for usage in usages:
            details = usage.get("prompt_tokens_details", usage.get("input_tokens_details")) if _is(usage) else None
            cached = details.get("cached_tokens") if _is(details) else None
            if isinstance(cached, int) and not isinstance(cached, bool) and 0 <= cached <= MAX_NUMBER:
                return cached
        return None

    @property
    def output_form(self) -> tuple[str | None, str | None]:
        """The output type that was asked for, and its schema."""
        asked = self.model_parameters or LitellmParameters()
        text = asked.text.get("format") if _is(asked.text) else None
        return output_form(asked.response_format or text)

    @property
    def labels(self) -> tuple[Mapping[str, Any], ...]:
        """Whatever may be a label, the first that names it: a tag `key:value` before metadata; a bare tag is `true`."""
        metadata = self.metadata or {}
        tags = {}
        for tag in self.request_tags or ():
            key, colon, value = tag.partition(":") if isinstance(tag, str) else ("", "", "")
            tags[key.strip()] = value.strip() if colon else "true"
        beside = (metadata.get("spend_logs_metadata"), metadata.get("requester_metadata"))
        own = {"model_group": self.model_group, "custom_llm_provider": self.custom_llm_provider}
        return (tags, *[source for source in beside if isinstance(source, dict)], metadata, own)


def _is(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def joined(content: Content) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [part if isinstance(part, str) else part.text or part.refusal for part in content]
    return "\n".join(part for part in parts if part)


def first_name(*names: object) -> str | None:
    """Return the first of *names* that can be one."""
    for name in names:
        if name is not None and isinstance(name, str | int) and not isinstance(name, bool):
            text = str(name)
            if text and len(text) <= MAX_NAME_CHARACTERS and not text.isspace():
                return text
    return None
