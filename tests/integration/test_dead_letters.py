"""`dead-letters` on a broker and a database: what is shown, and what a replay does to the counts."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from monitor.app.erasure import Erasing
from monitor.app.letters import NewestLetters
from monitor.app.ports import ports_of
from monitor.domain.erasure import ErasureSubject, SubjectKind
from monitor.domain.order import Actor, Role
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.native import FORMAT as NATIVE
from monitor.ingest.kafka_letters import KafkaLetters
from monitor.ingest.letter import ATTEMPT, FIRST, TOKEN, LetterFilter
from monitor.ingest.outcome import Carries, Format, Outcome
from monitor.ingest.record import Record
from monitor.ingest.route import FORMATS
from monitor.postgres.engine import create_engine_for
from monitor.postgres.replays import PostgresReplays
from monitor.settings.root import Settings
from tests.commands import Done, Run
from tests.otlp_site import OtlpSite, scripted_answers, spans_of
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.served import served
from tests.traces import line, trace

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]
LONG = "a long answer. " * 20
ATTACK = b'{"x": "\x1b[2J\xe2\x80\xae\x9b"}'


def decode_lines(record: Record, limits: DecodeLimits, now: datetime) -> tuple[Outcome, ...]:
    """A record with a native trace a line."""
    decode = NATIVE.decoders[Carries.TRACES]
    found: list[Outcome] = []
    for one in (record.value or b"").split(b"\n"):
        found += decode(Record(record.topic, record.partition, record.offset, None, one), limits, now)
    return tuple(found)


FORMAT = Format({Carries.TRACES: decode_lines})


@pytest.fixture
def site(kafka: Kafka, postgres_url: str) -> Site:
    return Site(kafka, postgres_url, partitions=2)


def settings_of(site: Site, kafka: dict[str, Any] | None = None, **ingest: Any) -> Settings:
    form = site.form()
    form["kafka"] |= kafka or {}
    form["ingest"] |= ingest
    return Settings(**form)  # type: ignore[arg-type]


def set_aside(site: Site) -> int:
    """Return how many records became letters."""
    counted = "select coalesce(sum(count::int), 0) from checkpoint, jsonb_each_text(dead_letters) as d(reason, count)"
    return int(site.query(counted)[0][0])


def _are_set_aside(site: Site, count: int) -> bool:
    return set_aside(site) == count


def duplicates(site: Site) -> int:
    return int(site.query("select coalesce(sum(duplicates), 0) from checkpoint")[0][0])


class Letters:
    """The command line, told of one site."""

    def __init__(self, run: Run, site: Site) -> None:
        self._run = run
        self.settings: dict[str, str] = {
            "KAFKA__BOOTSTRAP_SERVERS": site.kafka.bootstrap_servers,
            "KAFKA__TRACE_TOPICS": json.dumps([site.traces]),
            "KAFKA__PREFERENCE_TOPIC": site.preferences,
            "KAFKA__DEAD_LETTER_TOPIC": site.dead_letters,
            "POSTGRES__URL": site.postgres_url,
        }

    def __call__(self, *words: object) -> Done:
        return self._run("dead-letters", *words, **self.settings)

    def listed(self, *words: object) -> list[dict[str, Any]]:
        done = self("list", "--json", *words)
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = json.loads(done.out)
        return found


@pytest.fixture
def letters(run: Run, site: Site) -> Letters:
    return Letters(run, site)


def records(site: Site, topic: str, partition: int) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=site.kafka.bootstrap_servers, group_id=None)
    at = TopicPartition(topic, partition)
    consumer.assign([at])
    consumer.seek_to_beginning(at)
    end = consumer.end_offsets([at])[at]
    found: list[Any] = []
    while consumer.position(at) < end:
        found += consumer.poll(timeout_ms=500).get(at, [])
    consumer.close()
    return found


def test_a_letter_that_is_good_now_counts_once_however_often_it_is_replayed(site: Site, letters: Letters) -> None:
    site.send([*(line(trace(number), response=LONG) for number in (1, 2, 3)), line(trace(4)), b"no JSON"], partition=1)
    with running(settings_of(site, max_response_characters=100)):
        wait_for(lambda: (set_aside(site), site.count("trace")) == (4, 1), "four letters and a trace")
    tried = letters("replay", "--reason", "response_too_long", "--dry-run")
    assert tried.out == f"would write 3 records: 3 to {site.traces}\n"
    assert len(records(site, site.traces, 1)) == 5
    done = letters("replay", "--reason", "response_too_long", "--yes")
    assert (done.code, done.out) == (0, f"3 records are written: 3 to {site.traces}\n")
    first, again = records(site, site.traces, 1)[0], records(site, site.traces, 1)[5]
    assert (again.key, again.value, again.timestamp) == (first.key, first.value, first.timestamp)
    *told, (name, token) = again.headers
    assert told == [*first.headers, (ATTEMPT, b"1"), (FIRST, f"{site.traces}:1:0".encode())]
    assert name == TOKEN
    with running(settings_of(site)):
        wait_for(lambda: site.count("trace") == 4, "the traces")
        assert letters("replay", "--reason", "response_too_long", "--yes").code == 0
        wait_for(lambda: duplicates(site) == 3, "the second replay")
    assert (site.count("trace"), set_aside(site)) == (4, 4)
    audited = site.query("select actor <> '', action, subject, detail from audit where action like 'dead%'")
    for _, action, subject, detail in audited:
        assert (action, subject, len(detail.pop("key_sha256"))) == ("dead_letters.replay", site.dead_letters, 64)
        assert detail == {"records": {site.traces: 3}, "filter": {"reason": "response_too_long"}, "limit": None}
    assert [known for known, *_ in audited] == [True, True]
    engine = create_engine_for(site.postgres_url)
    number, _, secret = token.decode().partition("-")
    replays = PostgresReplays(engine)
    assert replays.written(token.decode()) == {site.traces: 3}
    for forged in ("", "7", f"{number}-", f"{number}-{secret[:-1]}", f"{int(number) + 1}-{secret}", f"x-{secret}"):
        assert replays.written(forged) == {}
    engine.dispose()


def test_a_letter_that_is_still_bad_becomes_one_again_with_its_attempts_and_stops_no_worker(
    site: Site, letters: Letters
) -> None:
    with running(settings_of(site, max_bad_run=4)):
        site.send([b"{", b"[", b"}"])
        wait_for(lambda: set_aside(site) == 3, "three letters")
        for count in (6, 9, 12):  # bad records in a row, and a limit of four
            done = letters("replay", "--yes")
            assert f"3 records are written: 3 to {site.traces}" in done.out
            assert ("have a later letter" in done.out) == (count > 6)
            wait_for(partial(_are_set_aside, site, count), "the replay's letters")
        found = letters.listed("--limit", 100)
        assert [row["attempts"] for row in found] == [3] * 3 + [2] * 3 + [1] * 3 + [0] * 3
        assert {row["first"] for row in found} == {f"{site.traces}:0:{offset}" for offset in range(3)}
        assert f"replayed: 3 times, first from {site.traces}:0:" in letters("show", found[0]["letter"]).out
        site.send([line(trace(1))])
        wait_for(lambda: site.count("trace") == 1, "a trace after them")


def test_the_good_traces_of_a_record_with_a_bad_one_are_duplicates_when_it_is_replayed(
    site: Site, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "lines", __name__)
    routed = {"routes": [{"topic": site.labels, "carries": "traces", "format": "lines"}], "label_topic": None}
    letters.settings |= {"KAFKA__ROUTES": json.dumps(routed["routes"]), "KAFKA__LABEL_TOPIC": "none"}
    site.kafka.create_topic(site.labels)
    site.send(
        [b"\n".join([line(trace(1)), line(trace(2), response=LONG), line(trace(3))])],
        topic=site.labels,
    )
    with running(settings_of(site, routed, max_response_characters=100)):
        wait_for(lambda: (set_aside(site), site.count("trace")) == (1, 2), "a letter beside two traces")
    assert letters("replay", "--yes").out == f"1 records are written: 1 to {site.labels}\n"
    with running(settings_of(site, routed)):
        wait_for(lambda: (duplicates(site), site.count("trace")) == (2, 3), "the third trace")
    assert set_aside(site) == 1


def test_the_calls_of_a_request_of_opentelemetry_count_once_when_it_is_replayed_for_one_of_them(
    kafka: Kafka, postgres_url: str, run: Run
) -> None:
    site = OtlpSite(kafka, postgres_url, join_seconds=2.0)
    letters = Letters(run, site)
    letters.settings["KAFKA__ROUTES"] = json.dumps(site.form()["kafka"]["routes"])
    longest = max(len(answer) for answer in scripted_answers() if answer is not None)
    site.send([b"".join(spans_of("otel_latest_span"))], topic=site.spans)  # ten calls in one record
    with running(settings_of(site, max_response_characters=longest - 1)):
        wait_for(lambda: (set_aside(site), site.count("trace")) == (1, 9), "a letter beside nine calls")
        wait_for(lambda: site.count("fragment") == 0, "the end of what waits")
    assert letters("replay", "--topic", site.spans, "--yes").out == f"1 records are written: 1 to {site.spans}\n"
    with running(settings_of(site)):
        wait_for(lambda: site.count("trace") == 10, "the tenth call")
        wait_for(lambda: duplicates(site) == 9 and site.count("fragment") == 0, "the end of what waits")
    assert set_aside(site) == 1
    assert sorted(site.answers(), key=str) == sorted(scripted_answers(), key=str)


def test_the_page_s_letters_are_the_newest_records_of_each_partition(site: Site, letters: Letters) -> None:
    with running(settings_of(site)):
        site.send([b"{", b"[", b"}"], partition=0)
        site.send([b"\xff"], partition=1)
        wait_for(lambda: set_aside(site) == 4, "four letters")
    engine = create_engine_for(site.postgres_url)
    shown = NewestLetters.of(engine, settings_of(site).kafka).letters(LetterFilter())
    engine.dispose()
    assert {row.letter for _, row in shown} == {row["letter"] for row in letters.listed()}
    with closing(KafkaLetters(settings_of(site).kafka, {})) as topic:
        newest = {letter.place.partition: letter.place.offset for letter in topic.newest(1)}
    ends: dict[int, int] = {}
    for (_, partition, offset), _ in shown:
        ends[partition] = max(offset, ends.get(partition, 0))
    assert newest == ends


def test_letters_are_listed_by_reason_topic_and_time_the_newest_first(site: Site, letters: Letters) -> None:
    assert letters("list").out == "0 of 0 letters\n"
    with running(settings_of(site)):
        site.send([b"{"], partition=0)
        wait_for(lambda: set_aside(site) == 1, "a letter")
        site.send([b"\xff"], partition=1)
        wait_for(lambda: set_aside(site) == 2, "another letter")
    newest, oldest = letters.listed()
    assert [newest["reason"], oldest["reason"]] == ["not_utf8", "not_json"]
    assert (newest["source"], newest["bytes"]) == (f"{site.traces}:1:0", 1)
    assert json.loads(letters("show", newest["letter"], "--json").out)["key"] == "key"
    assert letters.listed("--limit", 1) == [newest]
    assert letters.listed("--reason", "not_json", "--topic", site.traces) == [oldest]
    assert letters.listed("--topic", site.preferences) == []
    assert letters.listed("--since", newest["written_at"]) == [newest]
    assert letters.listed("--until", newest["written_at"], "--since", "5m") == [oldest]
    assert "1 of 2 letters: " in letters("list", "--limit", 1).out
    assert letters("list", "--since", "yesterday").code == 2


def test_a_letter_is_shown_without_a_character_that_a_terminal_obeys_and_its_bytes_are_written_whole(
    site: Site, letters: Letters, tmp_path: Path
) -> None:
    with running(settings_of(site)):
        site.send([ATTACK])
        wait_for(lambda: set_aside(site) == 1, "a letter")
    (row,) = letters.listed()
    place = row["letter"]
    shown, as_json = letters("show", place), letters("show", place, "--json")
    for told in (shown.out, as_json.out, letters("list").out):
        assert all(character == "\n" or character.isprintable() for character in told)
    assert {"reason: not_utf8", r'{"x": "\x1b[2J\u202e\x9b"}', "header format: native"} <= set(shown.out.splitlines())
    assert b64decode(json.loads(as_json.out)["value_base64"]) == ATTACK
    out = tmp_path / "record"
    assert letters("show", place, "--out", out).out == f"{out}: {len(ATTACK)} bytes\n"
    assert out.read_bytes() == ATTACK
    assert letters("show", place, "--out", tmp_path).code == 2
    command = [sys.executable, "-m", "monitor", "dead-letters", "show", place, "--raw"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == ATTACK  # in the environment of `letters`
    missing = letters("show", f"{site.dead_letters}:0:99")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert "there is no letter" in missing.err
    assert letters("show", f"{site.traces}:0:0").code == 1


def test_over_http_letters_are_what_they_are_on_the_topic_and_who_read_or_replayed_them_is_kept(
    site: Site, letters: Letters, run: Run, tmp_path: Path
) -> None:
    with running(settings_of(site, max_response_characters=100)):
        site.send([line(trace(1), response=LONG), ATTACK], partition=0)
        wait_for(lambda: set_aside(site) == 2, "two letters")
    engine = create_engine_for(site.postgres_url)
    tokens = {"a-viewer-of-the-site": "viewer", "an-operator-of-the-site": "operator"}
    with served(ports_of(engine, settings_of(site)), tokens=tokens) as url:

        def there(*words: object, by: str = "an-operator-of-the-site") -> Done:
            return run("dead-letters", *words, "--server", url, TOKEN=by)

        place = letters.listed("--reason", "not_utf8")[0]["letter"]
        for words in (
            ("list",),
            ("list", "--json", "--limit", 1),
            ("list", "--reason", "not_utf8", "--since", "30m", "--json"),
            ("show", place),
            ("show", place, "--json"),
            ("replay", place, "--dry-run"),
        ):
            here, asked = letters(*words), there(*words)
            assert (words, asked.code, asked.out, asked.err) == (words, 0, here.out, "")
        assert there("show", place, "--out", tmp_path / "record").code == 0
        assert (tmp_path / "record").read_bytes() == ATTACK
        assert there("show", f"{site.dead_letters}:0:99").code == 1
        assert there("list", by="a-viewer-of-the-site").code == 1
        done = there("replay", "--reason", "response_too_long", "--yes")
        assert (done.code, done.out) == (0, f"1 records are written: 1 to {site.traces}\n")
    engine.dispose()
    kept = site.query("select action, role, detail->'records' from audit where action like 'dead%' order by audit_id")
    assert [row[:2] for row in kept[:3]] == [("dead_letters.read", "operator")] * 3
    assert kept[3:] == [("dead_letters.replay", "operator", {site.traces: 1})]
    with running(settings_of(site)):
        wait_for(lambda: site.count("trace") == 1, "the trace")


def test_letters_of_whoever_was_erased_show_nothing_of_their_records_and_are_not_replayed(
    site: Site, letters: Letters
) -> None:
    engine = create_engine_for(site.postgres_url)
    subject = ErasureSubject(SubjectKind.USER, "u-7")
    with running(settings_of(site, max_response_characters=100)):
        mine, other = line(trace(1), response=LONG, user_id="u-7"), line(trace(2), response=LONG, user_id="u-8")
        site.send([mine, other, b'{"user_id": "u-7", "response": "cut of'])
        wait_for(lambda: set_aside(site) == 3, "three letters")
        Erasing.of(engine, settings_of(site).retrain).erase(subject, actor=Actor("ada", Role.OPERATOR))
        site.send([mine])
        wait_for(lambda: set_aside(site) == 4, "a letter of what came later")
    rows = letters.listed()
    assert [row["cannot_be_replayed"] for row in rows].count("erased") == 2
    hidden = [row for row in rows if row["cannot_be_replayed"] == "erased"]
    for row in hidden:
        shown = letters("show", row["letter"])
        assert (row["bytes"], row["detail"]) == (0, "")
        assert ("cannot be replayed: erased" in shown.out, "u-7" in shown.out, "cut of" in shown.out) == (
            True,
            False,
            False,
        )
        assert letters("replay", row["letter"], "--yes").code == 1
    done = letters("replay", "--yes")
    assert f"2 records are written: 2 to {site.traces}" in done.out
    assert "held back: 2 letters that are of conversations or users that were erased" in done.out
    engine.dispose()


def test_what_is_forged_or_no_letter_at_all_reaches_no_other_topic(site: Site, letters: Letters) -> None:
    told = [("reason", b"x"), ("detail", b""), ("source_topic", b"policy.promotions"), ("source_partition", b"0")]
    producer = KafkaProducer(bootstrap_servers=site.kafka.bootstrap_servers)
    producer.send(site.dead_letters, b"promoted", headers=[*told, ("source_offset", b"0")])
    producer.send(site.dead_letters, b"hello")
    producer.flush()
    producer.close()
    assert "1 records of the topic are no letters of this program" in letters("list").out
    done = letters("replay", "--yes")
    assert done.code == 1
    assert "held back: 1 letters that came from a topic that no setting reads" in done.out
    assert site.query("select count(*) from audit") == [(0,)]


def test_a_topic_that_is_not_there_is_named(site: Site, letters: Letters) -> None:
    letters.settings["KAFKA__DEAD_LETTER_TOPIC"] = "nowhere"
    done = letters("list")
    assert done.code == 1
    assert done.err == "rlhf-monitor: the dead-letter topic 'nowhere' (kafka.dead_letter_topic) is not there\n"
