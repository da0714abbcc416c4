"""Taking out of texts what is not to be stored, before anything else sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import msgspec

from monitor.domain.trace import Message, Preference, Trace
from monitor.errors import InvalidSetting, InvalidTrace
from monitor.ingest.decode import Reason
from monitor.ingest.outcome import Outcome
from monitor.ingest.part import Part
from monitor.ingest.patterns import PATTERNS
from monitor.settings.text import RedactionSettings

Step = Callable[[str], str]


class RedactionFailed(Exception):
    """A step raised, or returned something else than text; the message never quotes the text."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Steps that every text goes through, in their order.

    Texts are what people and models wrote: messages, responses, and errors, which may quote them. Names are not:
    ids of traces, conversations, users and annotators, models, roles, finish reasons, labels.
    """

    steps: Sequence[Step]

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return *outcome* with its texts redacted; `InvalidTrace` where a step fails, since it may not be stored."""
        try:
            if isinstance(outcome, Trace):
                return self._trace(outcome)
            if isinstance(outcome, Part):
                return self._part(outcome)
            if isinstance(outcome, Preference):
                chosen, rejected = self.text(outcome.chosen), self.text(outcome.rejected)
                return replace(outcome, messages=self._messages(outcome.messages), chosen=chosen, rejected=rejected)
        except RedactionFailed as failure:
            return InvalidTrace(Reason.REDACTION_FAILED, str(failure))
        return outcome

    def text(self, text: str) -> str:
        """Return *text* as it may be stored; raises `RedactionFailed`."""
        for step in self.steps:
            try:
                text = step(text)
                text.encode()  # refuses half a surrogate pair, as a database does, and what is no text
            except Exception as error:  # noqa: BLE001 - the function is the operator's own, and may raise anything
                raise RedactionFailed(f"{_name(step)} raised {type(error).__name__}") from None
            if not isinstance(text, str) or "\x00" in text:
                raise RedactionFailed(f"{_name(step)} returned no text, or text with U+0000")
        return text

    def _trace(self, trace: Trace) -> Trace:
        return replace(
            trace,
            messages=self._messages(trace.messages),
            response=self._or_none(trace.response),
            reference_response=self._or_none(trace.reference_response),
            error=self._or_none(trace.error, blank="[redacted]"),
        )

    def _part(self, part: Part) -> Part:
        return msgspec.structs.replace(
            part,
            messages=tuple([(role, self.text(content)) for role, content in part.messages]),
            response=self._or_none(part.response),
            error=self._or_none(part.error, blank="[redacted]"),
        )

    def _messages(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        return tuple([Message(message.role, self.text(message.content)) for message in messages])

    def _or_none(self, text: str | None, *, blank: str | None = None) -> str | None:
        """Redact *text*; *blank* where nothing of it is left: a blank response is none."""
        if text is None:
            return None
        found = self.text(text)
        return found if found and not found.isspace() else blank


def redaction_of(settings: RedactionSettings) -> Redaction | None:
    """Return what the settings ask for, None for nothing; raises `InvalidSetting` for a function that is not there."""
    steps: list[Step] = [step for name, step in PATTERNS.items() if name in settings.patterns]
    if settings.function is not None:
        steps.append(_load(settings.function))
    return Redaction(tuple(steps)) if steps else None


def _load(path: str) -> Step:
    found = f"ingest.redaction.function = {path!r}"
    module, _, name = path.partition(":")
    if not module or not name:
        raise InvalidSetting(f"{found}: wanted `package.module:name`")
    try:
        target = import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as error:
        raise InvalidSetting(
            f"{found}: {error}; wanted `package.module:name` of a function from text to text"
        ) from None
    if not callable(target):
        raise InvalidSetting(f"{found}: it is a {type(target).__name__}; wanted a function from text to text")
    try:
        answer = target("")
    except Exception as error:  # noqa: BLE001 - the function is the operator's own, and may raise anything
        raise InvalidSetting(f"{found}: for an empty text it raised {type(error).__name__}: {error}") from None
    if not isinstance(answer, str):
        raise InvalidSetting(f"{found}: for an empty text it returned {type(answer).__name__}; wanted text")
    return target


def _name(step: Step) -> str:
    return f"redaction by {getattr(step, '__qualname__', type(step).__qualname__)}"
