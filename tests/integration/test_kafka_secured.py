"""Every way into a secured Apache Kafka, and what is said where it is refused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from monitor.errors import InvalidTrace, Unavailable
from monitor.ingest.dead_letter import KafkaDeadLetters
from monitor.ingest.kafka import KafkaSource
from monitor.ingest.kafka_announcements import KafkaAnnouncements
from monitor.ingest.record import Record
from monitor.settings.kafka import KafkaSettings
from monitor.settings.root import Settings
from tests.certificates import Certificate
from tests.commands import Run
from tests.integration.kafka_reading import InMemoryOffsets, patiently, produce, read_until, wait_until
from tests.program import Site, running
from tests.real_kafka import fetch_libraries, in_ci
from tests.secured_kafka import PASSWORD, SCRAM, USER, SecuredKafka
from tests.traces import line, trace


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    folder = tmp_path_factory.mktemp("secured-kafka")
    try:
        server = SecuredKafka(folder, fetch_libraries())
    except Unavailable as reason:
        if in_ci():
            raise
        pytest.skip(f"no real Kafka: {reason}")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def login(mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"sasl_mechanism": mechanism, "sasl_username": USER, "sasl_password": password}


def files(certificate: Certificate) -> dict[str, Any]:
    return {"ssl_certfile": certificate.certfile, "ssl_keyfile": certificate.keyfile}


def settings_of(secured: SecuredKafka, listener: str, protocol: Any, **more: Any) -> KafkaSettings:
    """Return settings with topics of one test's own; the right authority is theirs unless they name another."""
    name = uuid4().hex
    if protocol.endswith("SSL"):
        more = {"ssl_cafile": secured.authority.cafile} | more
    return KafkaSettings(
        bootstrap_servers=secured.bootstrap_servers if listener == "PLAINTEXT" else secured.address(listener),
        security_protocol=protocol,
        group_id=f"group-{name}",
        trace_topics=(f"traces-{name}",),
        dead_letter_topic=f"dead-{name}",
        promotion_topic=f"promotions-{name}",
        **more,
    )


ways = {
    **{f"a password by {name}": ("SASLPLAIN", "SASL_PLAINTEXT", name) for name in ("PLAIN", *SCRAM)},
    **{f"a password by {name} over TLS": ("SASLTLS", "SASL_SSL", name) for name in ("PLAIN", *SCRAM)},
    "TLS alone": ("TLS", "SSL", None),
    "TLS with a client's certificate": ("MTLS", "SSL", None),
}


@pytest.mark.parametrize(("listener", "protocol", "mechanism"), ways.values(), ids=ways)
def test_every_client_of_the_program_comes_in(
    secured: SecuredKafka, listener: str, protocol: str, mechanism: str | None
) -> None:
    more = login(mechanism) if mechanism else files(secured.client) if listener == "MTLS" else {}
    config = settings_of(secured, listener, protocol, **more)
    for topic in (*config.trace_topics, config.dead_letter_topic, config.promotion_topic):
        secured.create_topic(topic)
    produce(config, config.trace_topics[0], [b"trace"])
    letters = KafkaDeadLetters(config)
    letters.put(Record(config.trace_topics[0], 0, 0, None, b"{"), InvalidTrace("not_json", "value"))
    letters.flush()
    letters.close()
    announcements = KafkaAnnouncements(config)
    assert announcements.write(b"policy", b"promoted", {}) is None
    announcements.close()
    source = KafkaSource(
        config, [*config.trace_topics, config.dead_letter_topic, config.promotion_topic], InMemoryOffsets()
    )
    found = {record.topic: record.value for record in read_until(source, 3)}
    source.close()
    assert sorted(found.values()) == [b"promoted", b"trace", b"{"]  # type: ignore[type-var]


def test_a_broker_by_another_name_is_let_pass_where_that_is_set(secured: SecuredKafka) -> None:
    config = settings_of(secured, "ELSEWHERE", "SSL", ssl_check_hostname=False)
    KafkaSource(config, config.trace_topics, InMemoryOffsets()).close()


def test_a_key_may_be_encrypted(secured: SecuredKafka) -> None:
    encrypted = secured.authority.issue("encrypted", password="hunter2")
    config = settings_of(secured, "MTLS", "SSL", **files(encrypted), ssl_key_password="hunter2")
    KafkaSource(config, config.trace_topics, InMemoryOffsets()).close()


def wrong_password(mechanism: str, _: SecuredKafka) -> dict[str, Any]:
    return login(mechanism, "hunter2")


refusals = {
    **{
        f"a wrong password by {name}": (
            "SASLPLAIN",
            "SASL_PLAINTEXT",
            partial(wrong_password, name),
            f"refuses the user 'monitor' by {name}: set kafka.sasl_username and kafka.sasl_password",
        )
        for name in ("PLAIN", *SCRAM)
    },
    "a mechanism that is not enabled": (
        "SCRAMONLY",
        "SASL_PLAINTEXT",
        lambda _: login("PLAIN"),
        "takes no kafka.sasl_mechanism = 'PLAIN'",
    ),
    "an authority of somebody else": (
        "TLS",
        "SSL",
        lambda secured: {"ssl_cafile": secured.stranger.cafile},
        "no authority in kafka.ssl_cafile = '",
    ),
    "the system's authorities": (
        "TLS",
        "SSL",
        lambda _: {"ssl_cafile": None},
        "no authority that this system knows has signed the certificate",
    ),
    "a broker by another name": (
        "ELSEWHERE",
        "SSL",
        lambda _: {},
        "is for another host: name the broker in kafka.bootstrap_servers",
    ),
    "a broker's certificate that has expired": ("EXPIRED", "SSL", lambda _: {}, "has expired: have it renewed there"),
    "no certificate of the client's": (
        "MTLS",
        "SSL",
        lambda _: {},
        "wants a certificate of its clients: set kafka.ssl_certfile",
    ),
    "a client's certificate by somebody else": (
        "MTLS",
        "SSL",
        lambda secured: files(secured.stranger.issue("client")),
        "refuses kafka.ssl_certfile = '",
    ),
    "a client's certificate that has expired": (
        "MTLS",
        "SSL",
        lambda secured: files(secured.authority.issue("old-client", age=timedelta(days=30))),
        "it has expired, or was not signed by an authority that the broker trusts",
    ),
    "a password where nobody logs in": (
        "PLAINTEXT",
        "SASL_PLAINTEXT",
        lambda _: login("PLAIN"),
        "logs nobody in, and kafka.security_protocol = 'SASL_PLAINTEXT'",
    ),
    "no TLS where it is spoken": (
        "TLS",
        "PLAINTEXT",
        lambda _: {},
        "kafka.security_protocol = 'PLAINTEXT': is that what this port's listener speaks?",
    ),
    "TLS where it is not spoken": (
        "PLAINTEXT",
        "SSL",
        lambda _: {},
        "kafka.security_protocol = 'SSL': is that what this port's listener speaks?",
    ),
    "no login where one is wanted": (
        "SASLPLAIN",
        "PLAINTEXT",
        lambda _: {},
        "kafka.security_protocol = 'PLAINTEXT': is that what this port's listener speaks?",
    ),
}


@pytest.mark.parametrize(("listener", "protocol", "more", "said"), refusals.values(), ids=refusals)
def test_a_refusal_names_the_setting_once_and_the_password_never(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch, listener: str, *, protocol: str, more: Any, said: str
) -> None:
    monkeypatch.setattr("monitor.ingest.kafka_client.BOOTSTRAP_SECONDS", 3.0)
    config = settings_of(secured, listener, protocol, **more(secured))
    with pytest.raises(Unavailable) as refused:
        KafkaSource(config, config.trace_topics, InMemoryOffsets())
    letters = KafkaDeadLetters(config)
    letters.put(Record("traces", 0, 0, None, b"{"), InvalidTrace("not_json", "value"))
    with pytest.raises(Unavailable) as letters_refused:
        letters.flush()
    announced = KafkaAnnouncements(config).write(b"policy", b"promoted", {})
    for told in (str(refused.value), str(letters_refused.value), announced or ""):
        assert said in told
        assert "\n" not in told
        assert "hunter2" not in told
    assert "127.0.0.1" not in refused.value.plain  # /readyz tells it to everybody
    assert refused.value.plain == letters_refused.value.plain != "Kafka is away"


@pytest.mark.postgres
def test_a_command_that_ends_by_itself_ends_with_the_refusal(
    secured: SecuredKafka, run: Run, postgres_url: str
) -> None:
    done = run(
        "dead-letters",
        "list",
        POSTGRES__URL=postgres_url,
        KAFKA__BOOTSTRAP_SERVERS=secured.address("SASLPLAIN"),
        KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KAFKA__SASL_MECHANISM="SCRAM-SHA-512",
        KAFKA__SASL_USERNAME=USER,
        KAFKA__SASL_PASSWORD="hunter2",
    )
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "refuses the user 'monitor' by SCRAM-SHA-512: set kafka.sasl_username and kafka.sasl_password" in done.err
    assert "hunter2" not in done.err


@pytest.mark.parametrize("what", ["topic", "group", "dead letters"])
def test_a_right_that_is_not_granted_is_named(secured: SecuredKafka, what: str) -> None:
    config = settings_of(secured, "SASLPLAIN", "SASL_PLAINTEXT", **login("PLAIN"))
    for topic in (*config.trace_topics, config.dead_letter_topic):
        secured.create_topic(topic)
    denied = {
        "topic": (ResourceType.TOPIC, config.trace_topics[0], ACLOperation.READ),
        "group": (ResourceType.GROUP, config.group_id, ACLOperation.READ),
        "dead letters": (ResourceType.TOPIC, config.dead_letter_topic, ACLOperation.WRITE),
    }
    kind, name, operation = denied[what]
    admin = KafkaAdminClient(bootstrap_servers=secured.bootstrap_servers)
    pattern = ResourcePattern(kind, name)
    admin.create_acls([ACL(f"User:{USER}", "*", operation, ACLPermissionType.DENY, pattern)])
    admin.close()
    letters = KafkaDeadLetters(config)
    letters.put(Record("traces", 0, 0, None, b"{"), InvalidTrace("not_json", "value"))
    with closing(KafkaSource(config, config.trace_topics, InMemoryOffsets())) as source:
        ask = letters.flush if what == "dead letters" else partial(source.poll, 0.2)
        with pytest.raises(Unavailable, match=name) as refused:
            wait_until(lambda: False, ask)
    letters.close()
    assert "grant it" in str(refused.value)
    assert refused.value.plain == "Kafka denies this user a right that it needs (its ACLs)"


def _set_password(secured: SecuredKafka, user: str, password: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=secured.bootstrap_servers)
    change = UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, password=password)
    admin.alter_user_scram_credentials([change])
    admin.close()


def test_a_password_that_is_changed_while_reading_is_told_and_reading_goes_on_when_it_is_back(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.kafka.QUIET_SECONDS", 0.5)
    monkeypatch.setattr("monitor.ingest.kafka.REQUEST_SECONDS", 1.0)
    _set_password(secured, "reader", "first")
    credentials = login("SCRAM-SHA-512", "first") | {"sasl_username": "reader"}
    # Its sessions end after seconds: the client logs in again on the same connection.
    config = settings_of(secured, "SCRAMONLY", "SASL_PLAINTEXT", **credentials)
    plain = config.model_copy(update={"bootstrap_servers": secured.bootstrap_servers, "security_protocol": "PLAINTEXT"})
    secured.create_topic(config.trace_topics[0])
    produce(plain, config.trace_topics[0], [b"0"])
    source = KafkaSource(config, config.trace_topics, InMemoryOffsets())
    read_until(source, 1)
    _set_password(secured, "reader", "second")
    with pytest.raises(Unavailable, match="refuses the user 'reader' by SCRAM-SHA-512") as refused:
        wait_until(lambda: False, lambda: _poll_until_refused(source))
    assert refused.value.plain.startswith("Kafka refuses the user or the password")
    _set_password(secured, "reader", "first")
    produce(plain, config.trace_topics[0], [b"1"])
    records: list[Record] = []
    wait_until(lambda: bool(records), lambda: records.extend(patiently(source)))
    source.close()
    assert records[-1].value == b"1"


def _poll_until_refused(source: KafkaSource) -> None:
    """A broker that takes a connection away is told of first as one that is away."""
    try:
        source.poll(0.2)
    except Unavailable as reason:
        if "refuses" in str(reason):
            raise


def test_the_daemon_says_why_it_waits_and_goes_on_when_the_certificate_is_mended(
    secured: SecuredKafka, postgres_url: str
) -> None:
    site = Site(secured, postgres_url)
    mine = secured.stranger.issue("daemon")
    form = site.form()
    form["kafka"] |= {
        "bootstrap_servers": secured.address("MTLS"),
        "security_protocol": "SSL",
        "ssl_cafile": str(secured.authority.cafile),
        **{name: str(path) for name, path in files(mine).items()},
    }
    site.send([line(trace(1))])
    with running(Settings(**form)) as daemon:  # type: ignore[arg-type]
        wait_until(lambda: daemon.port > 0, lambda: time.sleep(0.05))
        address = f"http://127.0.0.1:{daemon.port}"
        told = "Kafka refuses this client's certificate (kafka.ssl_certfile)"
        wait_until(lambda: httpx.get(f"{address}/readyz").json()["parts"]["worker"] == told, lambda: time.sleep(0.1))
        assert httpx.get(f"{address}/readyz").status_code == 503
        assert httpx.get(f"{address}/healthz").status_code == 200
        good = secured.authority.issue("daemon-renewed")
        mine.keyfile.write_bytes(good.keyfile.read_bytes())
        mine.certfile.write_bytes(good.certfile.read_bytes())
        wait_until(lambda: site.count("trace") == 1, lambda: time.sleep(0.1))
        wait_until(lambda: httpx.get(f"{address}/readyz").status_code == 200, lambda: time.sleep(0.1))
