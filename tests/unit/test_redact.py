"""What is taken out of texts before anything is stored, and what is left as it was."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from monitor.domain.trace import Message, Preference, Trace
from monitor.errors import InvalidSetting, InvalidTrace
from monitor.ingest.dead_letter import dead_letter
from monitor.ingest.decode import DecodeLimits, Reason
from monitor.ingest.outcome import Carries, Skipped, SkipReason
from monitor.ingest.part import Part, PartKind
from monitor.ingest.patterns import PATTERNS
from monitor.ingest.record import Record
from monitor.ingest.redact import Redaction, redaction_of
from monitor.ingest.route import Route, Router
from monitor.settings.text import RedactionSettings
from tests.secrets import SHAPES, written
from tests.traces import START, line, trace
from tests.unit.memory import NOW

LIMITS = DecodeLimits(1_000_000, 2_000_000, timedelta(days=366))
LEFT_ALONE = (
    "It is 3.14159265358979, or 22/7.",
    "On 01/02/2023 and 2023-02-01, in 1939-1945 and 01.02.23.",
    "The ports of 192.168.100.200 and 10.0.0.1:8080.",
    "ISBN 978-3-16-148410-0, order 4111111111111112, id 3141592653.",
    "0 1 1 2 3 5 8 13 21 34, and 1,234,567,890 people",
    "ask @jo, add x@y, install discord.js@latest, scp user@server: .",
    "The bearer of responsibilities has a key: happiness. A token = one word.",
    "A skeleton key, sk-learn, risk-free; -----BEGIN PUBLIC KEY----- abc",
    "Better call Saul (2015-2022), call 911",
)
HOSTILE = (
    "a", "1", "1 ", "a@", "a@b.", "a.b@c-", "(1) ", "+1-", "1-2-", "4111 ", "phone 12345678 ", "0000000 0", "\u00a01",
    "sk-", "sk_", "eyJ", "eyJaaaaaaaaa.", "bearer ", "api_key=", "secretkey", "AKIA", "SG.",
    "-----BEGIN PRIVATE KEY-----",
)  # fmt: skip


def shout(text: str) -> str:
    return text.upper()


def fail_on_bad(text: str) -> str:
    if "bad" in text:
        raise ValueError(text)
    return text


def not_a_text(_text: str) -> int:
    return 7


@pytest.mark.parametrize("kind", SHAPES)
def test_what_people_write_of_a_kind_is_found_and_replaced(kind: str) -> None:
    seen = [(text, PATTERNS[kind](text)) for _, text in written(20, kind, 2_000)]
    missed = [text for text, found in seen if f"[{kind}]" not in found]
    assert len(missed) <= 4, missed  # a value without a digit is taken for a word


@pytest.mark.parametrize("kind", SHAPES)
def test_nothing_of_a_secret_is_left_beside_its_mark(kind: str) -> None:
    for secret, _ in written(21, kind, 500):
        found = PATTERNS[kind](f"before {secret} after")
        assert found.startswith("before "), found
        assert found.endswith(" after"), found
        left = found.removeprefix("before ").removesuffix(" after")
        assert len(left.replace(f"[{kind}]", "")) <= len("AWS_SECRET_ACCESS_KEY="), (secret, found)


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    for replace in PATTERNS.values():
        assert replace(text) == text


@pytest.mark.parametrize("kind", PATTERNS)
def test_no_text_of_a_million_characters_takes_long(kind: str) -> None:
    for piece in HOSTILE:
        text = piece * (1_000_000 // len(piece))
        began = time.perf_counter()
        PATTERNS[kind](text)
        seconds = time.perf_counter() - began
        assert seconds < 20, (piece, seconds)  # a second here; what is quadratic takes hours


def test_every_text_of_a_trace_is_redacted_and_no_name_of_it() -> None:
    redaction = redaction_of(RedactionSettings(patterns=("email",), function="tests.unit.test_redact:shout"))
    assert redaction is not None
    before = trace(
        messages=(Message("user", "I am a@example.com"),),
        response="hello a@example.com",
        reference_response="dear a@example.com",
        error="refused for a@example.com",
        conversation_id="c of a@example.com",
        user_id="a@example.com",
        cohort={"team": "a@example.com"},
    )
    after = redaction.outcome(before)
    assert isinstance(after, Trace)
    assert after.messages == (Message("user", "I AM [EMAIL]"),)
    assert (after.response, after.reference_response) == ("HELLO [EMAIL]", "DEAR [EMAIL]")
    assert after.error == "REFUSED FOR [EMAIL]"
    names = before.conversation_id, before.user_id, before.cohort
    assert (after.conversation_id, after.user_id, after.cohort) == names
    of_another_user = redaction.outcome(trace(messages=(Message("user", "I AM B@EXAMPLE.COM"),)))
    assert isinstance(of_another_user, Trace)
    assert after.repeat_keys()[1] == of_another_user.repeat_keys()[0], "repeats are told by what is stored"


def test_the_parts_of_a_call_and_preferences_are_redacted_and_what_holds_no_text_is_as_it_was() -> None:
    redaction = redaction_of(RedactionSettings(patterns=("phone",)))
    assert redaction is not None
    part = Part(
        kind=PartKind.CONTENT,
        trace="t",
        span="1",
        messages=(("user", "+1 650 555 0100"),),
        response="(650) 555-0100",
        error="x",
    )
    after = redaction.outcome(part)
    assert isinstance(after, Part)
    assert (after.messages, after.response, after.error) == ((("user", "[phone]"),), "[phone]", "x")
    preference = Preference("p", START, (Message("user", "+1 650 555 0100"),), "650-555-0100", "no")
    found = redaction.outcome(preference)
    assert isinstance(found, Preference)
    assert (found.messages[0].content, found.chosen, found.rejected) == ("[phone]", "[phone]", "no")
    for other in (Skipped(SkipReason.CACHE_HIT), InvalidTrace("a", "+1 650 555 0100")):
        assert redaction.outcome(other) is other


def test_an_answer_of_which_nothing_is_left_is_an_answer_without_text() -> None:
    emptied = Redaction((lambda _: " ",)).outcome(trace(error="x"))
    assert isinstance(emptied, Trace)
    assert (emptied.response, emptied.error) == (None, "[redacted]")


def test_a_record_whose_redaction_fails_is_a_dead_letter_that_holds_nothing_of_it() -> None:
    redaction = redaction_of(RedactionSettings(function="tests.unit.test_redact:fail_on_bad"))
    router = Router([Route("traces", Carries.TRACES)], LIMITS, redaction=redaction)
    records = [
        Record("traces", 0, number, b"key", line(trace(number), response=text), (("h", b"secret"),))
        for number, text in enumerate(["a good one", "a bad one"])
    ]
    batch = router.decode(records, NOW)
    assert [found.trace_id for found, _ in batch.traces] == ["t-0"]
    [rejected] = batch.rejected
    assert rejected.invalid.reason == Reason.REDACTION_FAILED
    assert rejected.invalid.detail == "redaction by fail_on_bad raised ValueError"
    letter = dead_letter(rejected.record, rejected.invalid, withheld=True)
    assert (letter.key, letter.value, letter.headers) == (None, b"", ())
    told = dict(letter.reasons)
    assert (told["source_offset"], told["withheld"]) == (b"1", b"true")


@pytest.mark.parametrize("answer", ["half \ud800", "nul \x00", b"bytes", None])
def test_a_function_that_returns_no_text_a_database_can_hold_has_failed(answer: object) -> None:
    found = Redaction((lambda _: answer,)).outcome(trace())  # type: ignore[arg-type, return-value]
    assert isinstance(found, InvalidTrace)
    assert found.reason == Reason.REDACTION_FAILED


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("shout", "wanted `package.module:name`"),
        ("tests.unit.test_redact:whisper", "no attribute 'whisper'"),
        ("tests.unit.nowhere:shout", "No module named 'tests.unit.nowhere'"),
        ("tests.unit.test_redact:LIMITS", "it is a DecodeLimits; wanted a function"),
        ("tests.unit.test_redact:not_a_text", "for an empty text it returned int; wanted text"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused_at_the_start_by_name(function: str, told: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        redaction_of(RedactionSettings(function=function))
    assert str(refused.value).startswith(f"ingest.redaction.function = {function!r}: ")
    assert told in str(refused.value)


def test_nothing_is_redacted_unless_it_is_asked_for() -> None:
    assert redaction_of(RedactionSettings()) is None
