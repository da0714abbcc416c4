"""The brokers and the topics: there, readable from where the monitor reads on, and writable where it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.domain.checkup import Finding, fail, ok, warn
from monitor.errors import InvalidSetting, NotFound, Unavailable
from monitor.ingest.kafka_checkup import TopicState, read_broker
from monitor.ingest.route import routes_of
from monitor.settings.kafka import KafkaSettings

LATE_SHARE = 0.5  # of its retention that an unread record has reached


def check_kafka(settings: KafkaSettings, offsets: Mapping[tuple[str, int], int]) -> Iterator[Finding]:
    read = [route.topic for route in routes_of(settings)]
    written = [settings.dead_letter_topic]
    try:
        broker = read_broker(settings, [*read, *written], offsets)
    except (Unavailable, InvalidSetting, NotFound) as error:
        yield fail("kafka", str(error), "start the brokers, or mend kafka.* so that they let this user in")
        return
    yield ok(
        "kafka",
        f"{broker.brokers} broker{'s' * (broker.brokers != 1)} by {settings.security_protocol},"
        f" which speak {broker.version or 'an unknown version'}, in {broker.seconds:.1f} s",
    )
    for name in read:
        optional = name in {settings.label_topic, settings.preference_topic}
        yield from _read(broker.topics[name], optional=optional)
    for name in written:
        yield _written(broker.topics[name])


def _read(topic: TopicState, *, optional: bool) -> Iterator[Finding]:
    about = f"topic {topic.name}"
    if not topic.partitions:
        told = "it is not there, or this user may not see it"
        advice = "create it, or let the user describe it"
        yield warn(about, told, f"{advice}, if anybody is to write to it") if optional else fail(about, told, advice)
        return
    lost = sum(state.lost for state in topic.partitions)
    if lost:
        yield fail(
            about,
            f"{lost} records went by its retention before they were read",
            "let the daemon run, lengthen retention.ms, and see docs/ingest.md",
        )
        return
    lag = sum(state.lag for state in topic.partitions)
    ages = [state.unread_age_seconds for state in topic.partitions if state.unread_age_seconds is not None]
    oldest, kept = max(ages, default=0.0), topic.retention_seconds
    told = f"{len(topic.partitions)} partitions, {lag} records unread" + (
        "" if kept is None else f", records are kept for {kept / 3600:.0f} h"
    )
    if kept is not None and oldest > LATE_SHARE * kept:
        late = f"{told}; the oldest unread one is {oldest / 3600:.1f} h old"
        yield warn(about, late, "let more workers read, or lengthen retention.ms before records go unread")
    else:
        yield ok(about, told)


def _written(topic: TopicState) -> Finding:
    about = f"topic {topic.name}"
    if not topic.partitions:
        return fail(
            about,
            "the topic of dead letters is not there, or this user may not see it",
            "create it: a record that cannot be read would stop the worker",
        )
    if topic.may_write is False:
        return fail(about, "this user may not write to it", "grant the user of kafka.* the right to write")
    return ok(about, "letters can be written" if topic.may_write else "it is there; the broker does not tell rights")
