"""What a dead letter tells, which letters are asked for, and which of them are replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from msgspec import structs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.cli.letter import letter_lines, time_of
from monitor.errors import InvalidInput, InvalidTrace
from monitor.ingest.dead_letter import DeadLetter, dead_letter
from monitor.ingest.erased import hide_erased
from monitor.ingest.letter import (
    ATTEMPT,
    FIRST,
    TOKEN,
    Flaw,
    Letter,
    LetterFilter,
    Place,
    ReplayPlan,
    letter_of,
    place_of,
)
from monitor.ingest.record import Record

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
BAD = InvalidTrace("not_json", "value: unexpected end")


def posted(told: DeadLetter, offset: int = 0, *, minutes: float = 0.0) -> Record:
    """Return *told* as it stands on the dead-letter topic, *minutes* after the first."""
    headers = (*told.headers, *told.reasons)
    return Record("dead", 0, offset, told.key, told.value, headers, NOW_MS + round(minutes * 60_000))


def rejected(
    value: bytes | None = b"{", headers: tuple[tuple[str, bytes | None], ...] = (), offset: int = 17
) -> Record:
    return Record("traces", 3, offset, b"key", value, headers, NOW_MS - 5_000)


def read(record: Record) -> Letter:
    letter = letter_of(record)
    assert letter is not None
    return letter


def letter(record: Record | None = None, offset: int = 0, *, minutes: float = 0.0) -> Letter:
    return read(posted(dead_letter(record or rejected(), BAD), offset, minutes=minutes))


def replayed(told: Letter, offset: int) -> Record:
    """Return the record that a replay of *told* writes, at *offset*."""
    headers = tuple(told.replayed_headers("7-ab"))
    return Record(told.source.topic, told.source.partition, offset, told.key, told.value, headers, NOW_MS)


def test_a_letter_tells_what_was_written_and_gives_the_record_back_as_it_was() -> None:
    told = letter(rejected(headers=(("trace", b"a"),)))
    assert (told.reason, told.detail, told.source) == ("not_json", "value: unexpected end", Place("traces", 3, 17))
    assert (told.place, told.written_at, told.source_ms) == (Place("dead", 0, 0), NOW, NOW_MS - 5_000)
    assert (told.key, told.value, told.headers, told.flaw) == (b"key", b"{", (("trace", b"a"),), None)
    assert (told.attempts, told.first) == (0, told.source)
    proof = (TOKEN, b"7-ab")
    assert told.replayed_headers("7-ab") == [("trace", b"a"), (ATTEMPT, b"1"), (FIRST, b"traces:3:17"), proof]


def test_headers_of_the_producer_s_own_that_are_called_as_ours_are_stay_its_own() -> None:
    own = (("reason", b"mine"), ("source_topic", b"elsewhere"), ("detail", b"of mine"))
    told = letter(rejected(headers=own))
    assert (told.headers, told.reason, told.source.topic) == (own, "not_json", "traces")


def test_a_letter_of_the_first_release_has_no_timestamp_of_its_record() -> None:
    told = dead_letter(rejected(), BAD)
    old = DeadLetter(told.key, told.value, told.headers, told.reasons[:-1])
    assert read(posted(old)).source_ms is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("reason", b"not_json"),),
        (
            ("reason", b"x"),
            ("detail", b""),
            ("source_topic", b"t"),
            ("source_partition", b"0"),
            ("source_offset", b"z"),
        ),
        (
            ("reason", b"\xff"),
            ("detail", b""),
            ("source_topic", b"t"),
            ("source_partition", b"0"),
            ("source_offset", b"1"),
        ),
    ],
    ids=["nothing", "a reason alone", "an offset that is none", "a reason that is no text"],
)
def test_a_record_that_is_no_letter_is_none(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert letter_of(Record("dead", 0, 0, None, b"x", headers)) is None


def test_letters_without_the_whole_record_say_so() -> None:
    cut = read(posted(dead_letter(rejected(b"x" * 100_000), BAD).truncated()))
    withheld = read(posted(dead_letter(rejected(), BAD, withheld=True)))
    unreadable = letter(rejected(None, (("unreadable", b"crc"),)))
    assert [told.flaw for told in (cut, withheld, unreadable)] == [Flaw.CUT, Flaw.WITHHELD, Flaw.UNREADABLE]


def test_a_replay_that_is_bad_again_counts_its_attempts_and_names_the_record_it_began_with() -> None:
    told = letter()
    for attempt in (1, 2, 3):
        told = letter(replayed(told, 100 + attempt))
        assert (told.attempts, told.source.offset, told.first) == (attempt, 100 + attempt, Place("traces", 3, 17))
    again = told.replayed_headers("8-cd")
    assert (dict(again)[ATTEMPT], dict(again)[TOKEN], len(again)) == (b"4", b"8-cd", 3)


@pytest.mark.parametrize(
    ("attempt", "first"),
    [(b"-1", b"traces:3:1"), (b"9" * 30, b"traces:3:1"), (b"x", b"traces:3:1"), (b"1", b"other:0:0"), (b"1", b"\xff")],
)
def test_a_header_that_lies_about_a_replay_is_no_replay(attempt: bytes, first: bytes) -> None:
    told = letter(rejected(headers=((ATTEMPT, attempt), (FIRST, first))))
    assert (told.attempts, told.first) == (0, told.source)


USER = "u-7 \u00e9"
REQUEST = ExportTraceServiceRequest()
REQUEST.resource_spans.add().scope_spans.add().spans.add().attributes.add(key="user.id").value.string_value = USER


@pytest.mark.parametrize(
    "record",
    [
        rejected(json.dumps({"user_id": USER}).encode()),
        rejected(json.dumps({"user_id": USER}, ensure_ascii=False).encode()),
        rejected(f'{{"a": "odd"", "user_id": "{USER}", "response": "cut'.encode()),
        rejected(json.dumps({"metadata": json.dumps({"user": USER})}).encode()),
        rejected(REQUEST.SerializeToString()),
        structs.replace(rejected(), key=USER.encode()),
        rejected(headers=(("user", USER.encode()),)),
    ],
    ids=["escaped JSON", "JSON", "broken JSON", "JSON in JSON", "protobuf", "key", "header"],
)
def test_a_letter_of_an_erased_user_holds_nothing_unless_its_record_came_later(record: Record) -> None:
    told, name = letter(record), sha256(USER.encode()).hexdigest()
    hidden = hide_erased(told, {name: NOW})
    assert (hidden.flaw, hidden.key, hidden.value, hidden.headers, hidden.detail) == (Flaw.ERASED, None, b"", (), "")
    assert (hidden.place, hidden.reason, hidden.source) == (told.place, told.reason, told.source)
    assert hide_erased(told, {name: NOW - timedelta(minutes=1)}) == told
    assert hide_erased(told, {sha256(b"u-7").hexdigest(): NOW}) == told


@pytest.mark.parametrize(
    "value", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b'"' * 99, b"\x0b\x99"]
)
def test_whatever_stands_in_a_letter_it_is_looked_through(value: bytes) -> None:
    told = letter(rejected(value))
    assert hide_erased(told, {"0" * 64: NOW}) == told


def test_letters_are_asked_for_by_reason_topic_time_and_place() -> None:
    told = letter(minutes=30)
    half, hour = NOW + timedelta(minutes=30), NOW + timedelta(hours=1)
    fitting = [
        LetterFilter(),
        LetterFilter(reason="not_json", topic="traces"),
        LetterFilter(since=half, until=hour),
        LetterFilter(places=frozenset({Place("dead", 0, 0)})),
    ]
    others = [
        LetterFilter(reason="not_utf8"),
        LetterFilter(topic="dead"),
        LetterFilter(since=hour),
        LetterFilter(until=half),
        LetterFilter(places=frozenset({Place("dead", 0, 1)})),
    ]
    assert [wanted.admits(told) for wanted in fitting] == [True] * 4
    assert [wanted.admits(told) for wanted in others] == [False] * 5


def plan_of(*letters: Letter, wanted: LetterFilter | None = None) -> ReplayPlan:
    plan = ReplayPlan(wanted or LetterFilter(), {"traces"})
    for told in letters:
        plan.add(told)
    return plan


def test_the_oldest_are_replayed_first() -> None:
    letters = [letter(rejected(offset=number), number, minutes=-number) for number in range(5)]
    assert [place.offset for place in plan_of(*letters).chosen(limit=3)] == [4, 3, 2]


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "the other way round"])
def test_of_a_record_that_is_bad_again_the_last_letter_alone_is_replayed(turned: bool) -> None:
    first = letter(minutes=0)
    second = letter(replayed(first, 50), 1, minutes=1)
    third = letter(replayed(second, 51), 2, minutes=2)
    letters = [first, second, third]
    plan = plan_of(*(reversed(letters) if turned else letters))
    assert [place.offset for place in plan.chosen()] == [2]
    assert plan.held[Flaw.REPLACED] == 2


def test_a_letter_whose_later_one_is_not_asked_for_is_not_replayed_either() -> None:
    first = letter()
    second = letter(replayed(first, 50), 1, minutes=1)
    wanted = LetterFilter(until=NOW + timedelta(seconds=30))
    plan = plan_of(first, second, wanted=wanted)
    assert plan.chosen() == []
    assert plan.held[Flaw.REPLACED] == 1


def test_a_topic_that_was_created_again_hides_no_letter_of_the_one_before() -> None:
    plan = plan_of(letter(rejected(b"old")), letter(rejected(b"new"), 1, minutes=1))
    assert [place.offset for place in plan.chosen()] == [0, 1]


def test_what_cannot_be_replayed_and_what_came_from_a_topic_nobody_reads_is_held_back() -> None:
    cut = read(posted(dead_letter(rejected(b"x" * 100_000), BAD).truncated()))
    forged = replace(letter(offset=1), source=Place("policy.promotions", 0, 0))
    plan = plan_of(cut, forged)
    assert plan.chosen() == []
    assert (plan.held[Flaw.CUT], plan.held[Flaw.NOT_READ]) == (1, 1)


@pytest.mark.parametrize("text", ["", "dead", "dead:0", "dead:0:x", "dead:-1:0", ":0:0", "dead:0:0:0", "dead:٣:0"])
def test_a_place_that_is_none_says_what_was_wanted(text: str) -> None:
    with pytest.raises(InvalidInput, match="wanted topic:partition:offset"):
        place_of(text)


def test_a_time_is_an_age_or_a_moment() -> None:
    assert time_of(None, "--since", NOW) is None
    assert time_of("90m", "--since", NOW) == NOW - timedelta(minutes=90)
    assert time_of("3d", "--since", NOW) == NOW - timedelta(days=3)
    assert time_of("2026-11-22T14:00", "--since", NOW) == NOW
    assert time_of("2026-11-22T15:00+01:00", "--until", NOW) == NOW
    for text in ("yesterday", "3w", "999999d", "-1h", ""):
        with pytest.raises(InvalidInput, match=r"--since '.*': wanted 90m"):
            time_of(text, "--since", NOW)


def test_a_long_value_is_cut_where_people_read_it() -> None:
    lines = list(letter_lines(letter(rejected(b"\xff" + b"a" * 9_999))))
    assert lines[-3:-1] == ["value, 10000 bytes:", "\\xff" + "a" * 3_999]
    assert lines[-1] == "(the first 4000 bytes; --out FILE writes all of them)"
