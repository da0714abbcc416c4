"""Settings come from the environment and one file, are frozen, and say what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitor.domain.job import Action
from monitor.errors import InvalidSetting
from monitor.settings.load import load_settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MONITOR_")]:
        monkeypatch.delenv(name)


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(f"MONITOR_{name}", value)
    with pytest.raises(InvalidSetting) as caught:
        load_settings()
    return str(caught.value)


def test_without_a_word_of_configuration_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings.kafka.trace_topics == ("traces",)
    assert settings.web.host == "127.0.0.1"


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "monitor.yaml").write_text("kafka: {group_id: file, preference_topic: file}\ndrain_seconds: 7\n")
    monkeypatch.setenv("MONITOR_KAFKA__GROUP_ID", "variable")
    monkeypatch.setenv("MONITOR_INGEST__COHORT_KEYS", '["dataset", "region"]')
    settings = load_settings()
    assert (settings.kafka.group_id, settings.kafka.preference_topic) == ("variable", "file")
    assert settings.ingest.cohort_keys == ("dataset", "region")
    assert settings.drain_seconds == 7.0


def test_a_rule_is_read_whole_from_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.yaml"
    file.write_text("retrain: {rules: [{signals: [refusal], action: dpo, approval: automatic}]}\n")
    monkeypatch.setenv("MONITOR_CONFIG", str(file))
    (rule,) = load_settings().retrain.rules
    assert (rule.signals, rule.action, rule.severity) == (("refusal",), Action.DPO, "alert")


def test_the_queue_asks_for_no_kind_that_a_label_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "review.kinds" in refused(monkeypatch, REVIEW__KINDS='["preference", "Bad Kind"]')


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.kafka.group_id = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.drain_seconds = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DRIFT__AVERAGE_RUN_LENGTH": "1"}, "drift.average_run_length = '1'"),
        ({"DRIFT__TOLERANCE": '{"refusals": {"points": 0.1}}'}, "'refusals'; known are response_length, refusal"),
        (
            {"DRIFT__TOLERANCE": '{"refusal": 0.1}'},
            "drift.tolerance: refusal: 0.1 has no unit any more; write {share: 0.1}",
        ),
        ({"DRIFT__FALSE_PAGE_DAYS": "0"}, "drift.false_page_days = '0': Input should be greater than 0"),
        ({"DRIFT__REFERENCE__ENDPOINT": "vllm:8000"}, "drift.reference.endpoint = 'vllm:8000': String should match"),
        ({"DRIFT__REFERENCE__ENDPOINT": "http://me:hidden@vllm"}, "drift.reference.endpoint: String should match"),
        ({"INGEST__COHORT_KEYS": "dataset"}, "MONITOR_INGEST__COHORT_KEYS: write it as JSON"),
        ({"WEB__HOST": "0.0.0.0"}, "set web.tokens, web.oidc or web.wants_login first"),
        (
            {"WEB__HOST": "::", "WEB__TOKENS": '{"k": "viewer"}'},
            "a token of the role 'viewer' is shorter than 16 characters",
        ),
        ({"RETENTION__TEXT_DAYS": "500"}, "text_days = 500 outlives trace_id_days = 400"),
        ({"RETENTION__PAIR_DAYS": "20"}, "text_days = 30 outlives pair_days = 20"),
        (
            {"KAFKA__SASL_MECHANISM": "PLAIN", "KAFKA__SECURITY_PROTOCOL": "SSL"},
            "kafka: sasl_mechanism is set, and security_protocol = 'SSL' has no use for it; wanted SASL_SSL",
        ),
        (
            {"KAFKA__SASL_PASSWORD": "hunter2"},
            "kafka: sasl_password is set, and security_protocol = 'PLAINTEXT' has no use for it; wanted SASL_SSL",
        ),
        (
            {"KAFKA__SSL_CHECK_HOSTNAME": "false", "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
            "kafka: ssl_check_hostname is set, and security_protocol = 'SASL_PLAINTEXT' has no use for it",
        ),
        (
            {"KAFKA__SSL_CERTFILE": "a.crt", "KAFKA__SECURITY_PROTOCOL": "SSL"},
            "kafka: ssl_certfile is set without ssl_keyfile; a client's certificate wants both",
        ),
        (
            {"KAFKA__SSL_KEYFILE": "a.key", "KAFKA__SECURITY_PROTOCOL": "SSL"},
            "kafka: ssl_keyfile is set without ssl_certfile; a client's certificate wants both",
        ),
        (
            {"KAFKA__SSL_KEY_PASSWORD": "hunter2", "KAFKA__SECURITY_PROTOCOL": "SSL"},
            "kafka: ssl_key_password is set without ssl_keyfile, the key that it opens",
        ),
        ({"NONSENSE": "1"}, "MONITOR_NONSENSE: no such setting"),
    ],
    ids=[
        "too small",
        "an unknown signal",
        "a tolerance of a release before",
        "a page all the time",
        "a server without its scheme",
        "a server with a password in it",
        "a list that is none",
        "an open door",
        "a short token",
        "a text without its id",
        "a pair without its text",
        "a login where nobody logs in",
        "a password where nobody logs in",
        "a name that is not looked at",
        "a certificate without its key",
        "a key without its certificate",
        "a password for no key",
        "an unknown variable",
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_wanted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    assert said in refused(monkeypatch, **variables)


def test_every_wrong_key_is_named_at_once_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(
        monkeypatch,
        KAFKA__SASL_PASSWORD="[hunter2",
        KAFKA__MAX_POLL_RECORDS="0",
        INGEST__MAX_COHORTS="none",
        WEB__TOKENS='{"hunter2": "king"}',
        NOTIFY__PAGERDUTY='{"ops": {"routing_key": ["hunter2"], "per_hour": 0}}',
    )
    assert "notify.pagerduty.ops.routing_key: " in said
    assert "notify.pagerduty.ops.per_hour = 0" in said
    assert "kafka.max_poll_records = '0'" in said
    assert "ingest.max_cohorts = 'none'" in said
    assert "web.tokens" in said
    assert "hunter2" not in said


def test_a_short_token_is_not_repeated_and_is_good_enough_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in refused(monkeypatch, WEB__HOST="0.0.0.0", WEB__TOKENS='{"hunter2": "operator"}')
    monkeypatch.setenv("MONITOR_WEB__HOST", "127.0.0.1")
    assert load_settings().web.tokens == {"hunter2": "operator"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("log: {level: info}\nkafka: [", "monitor.yaml:2: "),
        ("- 1\n", "holds a list; it must name the parts kafka, "),
        ("kafka: plain\n", "kafka = 'plain'"),
        ("kafak: {}\n", "'kafak': no such setting; did you mean 'kafka'?"),
        ("kafka: {group: x}\n", "kafka.group: no such setting; did you mean 'group_id'?"),
    ],
    ids=["no YAML", "a list", "a text for a part", "an unknown part", "an unknown field"],
)
def test_a_file_that_holds_no_settings_is_refused_with_the_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "monitor.yaml").write_text(content)
    assert said in refused(monkeypatch)


@pytest.mark.parametrize("part", ["DEAD_LETTER_TOPIC", "PREFERENCE_TOPIC"])
def test_a_topic_with_two_uses_is_refused(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    assert "the topic 'traces' is named twice" in refused(monkeypatch, **{f"KAFKA__{part}": "traces"})


@pytest.mark.parametrize(
    "url",
    [
        "monitor.example",
        "javascript:alert(1)",
        "https://monitor.example/#a",
        "https://monitor.example/ x",
        'https://a"b',
    ],
)
def test_an_address_that_an_alert_cannot_link_to_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert "web.public_url" in refused(monkeypatch, WEB__PUBLIC_URL=url)
    monkeypatch.setenv("MONITOR_WEB__PUBLIC_URL", "https://monitor.example/llm/")
    assert load_settings().web.public_url == "https://monitor.example/llm/"
