"""What every format shares: JSON text to a type, the limits of a sound trace, and the reason why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from tokenizers import Tokenizer

from monitor.domain.label import Label
from monitor.domain.trace import Message, Preference, TokenSource, Trace
from monitor.errors import InvalidSetting, InvalidTrace
from monitor.ingest.part import Part
from monitor.ingest.storable import ESCAPE

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # nothing that is traced is older; zero epochs are
MAX_SHOWN_CHARACTERS = 80
MAX_IDENTIFIER_CHARACTERS = 512
MAX_TIME_NS = 2**63 - 1  # what a database's integers hold
MAX_DIMENSIONS = 64  # of a label
PRIVATE = frozenset(
    {"response", "reference_response", "messages", "chosen", "rejected", "error", "error_str", "error_information"}
)

_NAMES = (  # of a part
    *("model", "request_model", "conversation_id", "user_id", "finish_reason", "response_id", "output_type"),
)

W = TypeVar("W", bound=msgspec.Struct)


class Reason(StrEnum):
    """Why a record is a dead letter: a metric label and a header of the dead letter."""

    EMPTY_RECORD = "empty_record"  # no value at all: a tombstone
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    UNKNOWN_FORMAT = "unknown_format"  # JSON, and of no format that is known
    NOT_OTLP = "not_otlp"  # no spans, logs or metrics of OpenTelemetry
    TOO_DEEP = "too_deep"  # nested beyond the interpreter's stack
    LONE_SURROGATE = "lone_surrogate"  # half of a UTF-16 pair: no text can hold it
    NUL_CHARACTER = "nul_character"  # PostgreSQL's text cannot hold it
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    INVALID_IDENTIFIER = "invalid_identifier"  # a trace or span id that is none
    EMPTY_IDENTIFIER = "empty_identifier"
    IDENTIFIER_TOO_LONG = "identifier_too_long"
    INVALID_TIMESTAMP = "invalid_timestamp"
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    EMPTY_RESPONSE = "empty_response"  # blank without an error
    RESPONSE_TOO_LONG = "response_too_long"
    PROMPT_TOO_LONG = "prompt_too_long"
    INVALID_NAME = "invalid_name"  # letters that the field does not take
    UNKNOWN_WORD = "unknown_word"  # none of the few that the field takes
    TOO_MANY_DIMENSIONS = "too_many_dimensions"
    REDACTION_FAILED = "redaction_failed"  # so it may not be stored; its dead letter is without its text


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    max_response_characters: int
    max_prompt_characters: int
    max_future: timedelta
    label_keys: frozenset[str] = frozenset()  # the labels that are wanted; a native trace keeps all it has


def parse_json(decoder: msgspec.json.Decoder[W], value: bytes | None) -> W | InvalidTrace:
    """Read *value* as the decoder's type; the detail of an `InvalidTrace` never quotes a prompt or a response."""
    if not value:
        return _invalid(Reason.EMPTY_RECORD, "value", value, "a JSON object")
    try:
        wire = decoder.decode(value)
    except msgspec.ValidationError as error:
        return _explain_field(str(error), value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _explain_text(error, value)
    except RecursionError:
        return InvalidTrace(Reason.TOO_DEEP, "value is nested too deeply; wanted a flat JSON object")
    # A NUL reaches a string only through its escape, so most records need no walk.
    field = _nul_field(_builtins(wire), "") if b"\\u0000" in value else None
    if field is None:
        return wire
    return InvalidTrace(Reason.NUL_CHARACTER, f"{_shortened(field)} holds U+0000; wanted text without NUL")


def parts_of_json(value: bytes | None) -> Sequence[bytes | None]:
    """Return the items of an array, or the lines where each is an object; anything else as it is, alone."""
    text = (value or b"").strip()
    if text[:1] == b"[":
        try:
            return [bytes(item) for item in _ITEMS.decode(text)] or (value,)
        except (ValueError, RecursionError):
            return (value,)
    lines = [line for line in map(bytes.strip, text.split(b"\n")) if line] if b"\n" in text else ()
    if lines and all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        return lines
    return (text or value,)


def check_trace(trace: Trace, limits: DecodeLimits, now: datetime) -> InvalidTrace | None:
    """Judge a trace of any format; None where it is sound."""
    told = trace.error is not None or trace.tool_calls or trace.output_tokens is not None
    if trace.response is None and not told and trace.latency_seconds is None:
        wanted = "a response, an error, tool calls, or the output tokens or the latency where texts are not told"
        return _invalid(Reason.MISSING_FIELD, "response", "null or absent", wanted)
    return (
        (_blank("trace_id", trace.trace_id) if trace.trace_id.isspace() else None)
        or (_blank("policy_model", trace.policy_model) if trace.policy_model.isspace() else None)
        or _check_timestamp(trace.timestamp, limits, now)
        or _check_response("response", trace.response, limits)
        or _check_response("reference_response", trace.reference_response, limits)
        or _check_prompt(trace.messages, limits)
    )


def check_part(part: Part, limits: DecodeLimits) -> InvalidTrace | None:
    """Judge what one piece tells of a call, so that it can be kept; the call is judged when it is whole."""
    told = [name for field in _NAMES if (name := getattr(part, field)) is not None]
    if told and max(map(len, told)) > MAX_IDENTIFIER_CHARACTERS:
        field = next(name for name in _NAMES if len(getattr(part, name) or "") > MAX_IDENTIFIER_CHARACTERS)
        found = f"{len(getattr(part, field)):,} characters"
        return _invalid(Reason.IDENTIFIER_TOO_LONG, field, found, f"at most {MAX_IDENTIFIER_CHARACTERS}")
    for field, time_ns in (("start", part.start_ns), ("end", part.end_ns)):
        if time_ns is not None and not 0 <= time_ns <= MAX_TIME_NS:
            return _invalid(Reason.TIMESTAMP_OUT_OF_RANGE, field, time_ns, f"at most {MAX_TIME_NS} nanoseconds")
    if part.response is not None and len(part.response) > limits.max_response_characters:
        return _check_response("response", part.response, limits)
    return _check_size(sum([len(role) + len(content) for role, content in part.messages]), limits)


def check_preference(preference: Preference, limits: DecodeLimits, now: datetime) -> InvalidTrace | None:
    """Judge a preference; None where it is sound."""
    return (
        (_blank("preference_id", preference.preference_id) if preference.preference_id.isspace() else None)
        or _check_timestamp(preference.timestamp, limits, now)
        or _check_response("chosen", preference.chosen, limits)
        or _check_response("rejected", preference.rejected, limits)
        or _check_prompt(preference.messages, limits)
    )


def check_label(label: Label, limits: DecodeLimits, now: datetime) -> InvalidTrace | None:
    """Judge a label; None where it is sound."""
    if len(label.dimensions) > MAX_DIMENSIONS:
        found = f"{len(label.dimensions):,} entries"
        return _invalid(Reason.TOO_MANY_DIMENSIONS, "dimensions", found, f"at most {MAX_DIMENSIONS}")
    return (
        (_blank("label_id", label.label_id) if label.label_id.isspace() else None)
        or (_blank("trace_id", label.trace_id) if label.trace_id.isspace() else None)
        or (_invalid(Reason.INVALID_NAME, "kind", ascii(label.kind), "no line break") if "\n" in label.kind else None)
        or _check_timestamp(label.timestamp, limits, now)
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read folder/tokenizer.json as a counter: it neither truncates nor pads."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InvalidSetting(f"ingest.tokenizer = {str(folder)!r}: wanted a folder with a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the Rust library raises nothing narrower
        raise InvalidSetting(f"ingest.tokenizer = {str(folder)!r}: tokenizer.json cannot be read: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def count_output_tokens(trace: Trace, tokenizer: Tokenizer | None) -> Trace:
    """Fill in the output tokens of a response whose producer did not count them.

    The count's source says how: by the tokenizer, or in words where there is none. A text that
    was cut on its way here is not counted: it does not tell how long the answer was.
    """
    text = trace.whole_response
    if trace.output_tokens is not None or text is None:
        return trace
    if tokenizer is None:
        return replace(trace, output_tokens=len(text.split()), output_tokens_source=TokenSource.WORDS)
    tokens = len(tokenizer.encode(text, add_special_tokens=False))
    return replace(trace, output_tokens=tokens, output_tokens_source=TokenSource.TOKENIZER)


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_FIELD = re.compile(r" - at `\$\.?([^`]*)`$")
_FIELD_REASONS = {  # what msgspec says of a field; the first that is found decides
    "of length >=": Reason.EMPTY_IDENTIFIER,
    "of length <=": Reason.IDENTIFIER_TOO_LONG,
    "RFC3339": Reason.INVALID_TIMESTAMP,
    "matching regex": Reason.INVALID_NAME,
    "enum value": Reason.UNKNOWN_WORD,
    "out of range": Reason.NUMBER_OUT_OF_RANGE,
    " >": Reason.NUMBER_OUT_OF_RANGE,
    " <": Reason.NUMBER_OUT_OF_RANGE,
}
_MISSING = re.compile(r"^Object missing required field `([^`]+)`")


def _explain_text(error: Exception, value: bytes) -> InvalidTrace:
    """Say why *value* is not JSON text."""
    try:
        value.decode()
    except UnicodeDecodeError as undecodable:
        return InvalidTrace(Reason.NOT_UTF8, f"value: {undecodable.reason} at byte {undecodable.start}; wanted UTF-8")
    half = next((escape for escape in ESCAPE.finditer(value) if escape["half"]), None)
    if half is not None:
        shown = half.group().decode()
        return _invalid(Reason.LONE_SURROGATE, f"value at byte {half.start()}", shown, "whole surrogate pairs")
    return InvalidTrace(Reason.NOT_JSON, f"value: {error}; wanted a JSON object")


def _explain_field(message: str, value: bytes) -> InvalidTrace:
    """Turn msgspec's sentence about a field into a reason and a detail."""
    located = _FIELD.search(message)
    path = located.group(1) if located else ""
    wanted = message[: located.start()] if located else message
    missing = _MISSING.match(message)
    if missing is not None:
        name = f"{path}.{missing.group(1)}" if path else missing.group(1)
        return _invalid(Reason.MISSING_FIELD, name, "absent", "it to be there")
    reason = next((reason for sign, reason in _FIELD_REASONS.items() if sign in wanted), Reason.WRONG_TYPE)
    if reason is Reason.UNKNOWN_WORD:
        wanted = "unknown"  # msgspec quotes the value whole
    return InvalidTrace(reason, f"{path or 'value'}{_shown_field(path, value)}: {wanted}")


def _shown_field(path: str, value: bytes) -> str:
    """Quote the field at *path*, if it is one of the record's own and may be seen."""
    if not path.isidentifier() or path in PRIVATE:
        return ""
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return ""
    return " = " + _shortened(bytes(fields[path]).decode(errors="replace")) if path in fields else ""


def _builtins(wire: object) -> Any:
    """Return *wire* as dicts and lists; what it leaves raw is read, and looked at, by itself."""
    return msgspec.to_builtins(wire, builtin_types=(datetime,), enc_hook=lambda _: None)


def _nul_field(value: Any, path: str) -> str | None:
    """Return the path of the first text with a NUL in it, a key's included."""
    if isinstance(value, str):
        return path if "\x00" in value else None
    if isinstance(value, dict):
        if any("\x00" in key for key in value):
            return path
        children = [(child, f"{path}.{key}" if path else key) for key, child in value.items()]
    elif isinstance(value, list):
        children = [(child, f"{path}[{index}]") for index, child in enumerate(value)]
    else:
        return None
    return next((found for child, name in children if (found := _nul_field(child, name)) is not None), None)


def _check_timestamp(timestamp: datetime, limits: DecodeLimits, now: datetime) -> InvalidTrace | None:
    if timestamp >= EARLIEST and timestamp - now <= limits.max_future:
        return None
    wanted = f"{EARLIEST.date()} or later, at most {limits.max_future} after now"
    return _invalid(Reason.TIMESTAMP_OUT_OF_RANGE, "timestamp", timestamp.isoformat(), wanted)


def _check_response(field: str, text: str | None, limits: DecodeLimits) -> InvalidTrace | None:
    if text is None:
        return None
    if len(text) > limits.max_response_characters:
        wanted = f"at most {limits.max_response_characters:,}"
        return _invalid(Reason.RESPONSE_TOO_LONG, field, f"{len(text):,} characters", wanted)
    if not text or text.isspace():
        return _invalid(Reason.EMPTY_RESPONSE, field, f"{len(text):,} blank characters", "text, or an error")
    return None


def _check_prompt(messages: Sequence[Message], limits: DecodeLimits) -> InvalidTrace | None:
    return _check_size(sum([len(message.content) + len(message.role) for message in messages]), limits)


def _check_size(characters: int, limits: DecodeLimits) -> InvalidTrace | None:
    if characters <= limits.max_prompt_characters:
        return None
    wanted = f"at most {limits.max_prompt_characters:,}"
    return _invalid(Reason.PROMPT_TOO_LONG, "messages", f"{characters:,} characters", wanted)


def _blank(field: str, value: str) -> InvalidTrace:
    return _invalid(Reason.EMPTY_IDENTIFIER, field, _shortened(repr(value)), "a name")


def _invalid(reason: Reason, field: str, value: object, wanted: str) -> InvalidTrace:
    return InvalidTrace(reason, f"{field} = {value}; wanted {wanted}")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "..."
