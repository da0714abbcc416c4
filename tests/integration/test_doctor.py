"""`doctor` on real parts: what is well, what is not, and no secret in either."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import psycopg
import pytest

from monitor.app.doctor.http import ALERTS, check_prometheus
from monitor.app.doctor.loading import check_loading
from monitor.app.doctor.models import check_folder
from monitor.demo.models import build_tiny_base
from monitor.domain.checkup import Finding, Outcome
from monitor.settings.kafka import KafkaSettings
from monitor.settings.root import Settings
from tests.commands import Run
from tests.ports import free_port
from tests.program import wait_for
from tests.real_kafka import Kafka, in_ci
from tests.real_prometheus import running_program

GOOD, FAILED = 0, 1
SECRET = "correct-horse-battery"


def told(out: str) -> dict[str, tuple[str, str]]:
    """Return of each part what was found, by what it is about."""
    return {row["about"]: (row["outcome"], row["found"] + row["advice"]) for row in json.loads(out)}


@pytest.fixture
def site(config: KafkaSettings, postgres_url: str, tmp_path: Path) -> dict[str, str]:
    """The settings of a daemon on a broker and a database of its own."""
    return {
        "KAFKA__BOOTSTRAP_SERVERS": config.bootstrap_servers,
        "KAFKA__TRACE_TOPICS": json.dumps(config.trace_topics),
        "KAFKA__DEAD_LETTER_TOPIC": config.dead_letter_topic,
        "KAFKA__GROUP_ID": config.group_id,
        "POSTGRES__URL": postgres_url,
        "RETRAIN__FOLDER": str(tmp_path / "runs"),
        "WEB__TOKENS": json.dumps({"aaaaaaaaaaaaaaaaaa": "viewer", SECRET: "operator"}),
    }


@pytest.mark.kafka
@pytest.mark.postgres
def test_what_is_well_is_told_so_and_what_is_not_with_what_to_do(
    run: Run, kafka: Kafka, config: KafkaSettings, topic: str, site: dict[str, str]
) -> None:
    lacking = run("doctor", "--json", **site)
    found = told(lacking.out)
    assert lacking.code == FAILED
    assert found[f"topic {config.dead_letter_topic}"][0] == "fail"
    assert found["topic preferences"][0] == "warn"
    kafka.create_topic(config.dead_letter_topic)
    done = run("doctor", "--json", **site)
    found = told(done.out)
    assert (done.code, [about for about, (outcome, _) in found.items() if outcome == "fail"]) == (GOOD, [])
    assert found["database schema"][0] == found["database rights"][0] == found["clock"][0] == "ok"
    assert found["database"][1].startswith("PostgreSQL 1")
    assert found["kafka"][1].startswith("1 broker by PLAINTEXT")
    assert found[f"topic {topic}"] == ("ok", "1 partitions, 0 records unread, records are kept for 168 h")
    assert found[f"topic {config.dead_letter_topic}"] == ("ok", "letters can be written")
    assert found["refusal weights"][0] == "ok"
    assert re.fullmatch(r"model \S+ is loaded and has read an answer, \d+\.\d s", found["refusal weights"][1])
    assert "refusal weights" not in told(run("doctor", "--json", "--no-load", **site).out)
    assert found["tokens"] == (
        "warn",
        "easy to guess: number 1 (viewer) of web.tokensmake others: `openssl rand -hex 16`, or `rlhf-monitor tokens"
        " create`",
    )
    plainly = run("doctor", **site)
    assert plainly.out.startswith("ok    settings: ")
    for said in (done.out, plainly.out, lacking.out):
        assert SECRET not in said
        assert "aaaaaaaa" not in said


@pytest.mark.prometheus
def test_a_prometheus_without_rules_is_told_what_to_load_and_one_that_is_away_where_to_look(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        assert not in_ci(), "prometheus is not installed"
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    port = free_port()
    url = f"http://nobody:{SECRET}@127.0.0.1:{port}"
    (away,) = check_prometheus(url)
    assert (away.outcome, away.found) == (Outcome.FAIL, "it cannot be asked: ConnectError")
    (tmp_path / "prometheus.yml").write_text("global: {evaluation_interval: 500ms}")
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
    ]
    with running_program(tmp_path / "log", *command):
        wait_for(lambda: next(check_prometheus(url)).outcome is Outcome.OK, "Prometheus")
        reached, scraping, records, alerts = check_prometheus(url)
        assert reached.about == f"Prometheus http://127.0.0.1:{port}"
        assert (scraping.outcome, records.outcome, alerts.outcome) == (Outcome.FAIL, Outcome.FAIL, Outcome.FAIL)
        assert alerts.found.startswith(f"{len(ALERTS)} of {len(ALERTS)} are not loaded: RlhfMonitorAnchorOld, ")
        assert "load dashboards/alerts/alerts.yaml" in alerts.advice


@pytest.mark.kafka
@pytest.mark.postgres
def test_records_that_went_before_they_were_read_are_a_failure(
    run: Run, kafka: Kafka, config: KafkaSettings, topic: str, site: dict[str, str]
) -> None:
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka import TopicPartition as Partition

    kafka.create_topic(config.dead_letter_topic)
    producer = KafkaProducer(bootstrap_servers=config.bootstrap_servers)
    for number in range(10):
        producer.send(topic, b"%d" % number)
    producer.close()
    with psycopg.connect(site["POSTGRES__URL"], autocommit=True) as connection:
        values = (config.group_id, topic)
        connection.execute(
            "insert into consumer_offset (group_id, topic, partition, next_offset) values (%s, %s, 0, 4)", values
        )
    assert told(run("doctor", "--json", **site).out)[f"topic {topic}"][1].startswith("1 partitions, 6 records")
    admin = KafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    admin.delete_records({Partition(topic, 0): 7})
    admin.close()
    outcome, said = told(run("doctor", "--json", **site).out)[f"topic {topic}"]
    assert (outcome, said[:10]) == ("fail", "3 records ")


def test_what_cannot_be_reached_keeps_nobody_from_the_other_checks(run: Run, tmp_path: Path) -> None:
    port = free_port()
    done = run(
        "doctor",
        "--json",
        KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
        POSTGRES__URL=f"postgresql://monitor:{SECRET}@127.0.0.1:{port}/monitor",
        RETRAIN__FOLDER=str(tmp_path),
    )
    found = told(done.out)
    assert done.code == FAILED
    assert (found["database"][0], found["kafka"][0]) == ("fail", "fail")
    assert found[f"folder {tmp_path}"][0] in {"ok", "warn"}
    assert SECRET not in done.out + done.err


def test_settings_that_cannot_be_read_are_told_line_by_line(run: Run) -> None:
    done = run("doctor", "--json", WEB__PORT="99999999", KAFKA__TRACE_FORMAT="")
    assert done.code == FAILED
    assert [row["about"] for row in json.loads(done.out)] == ["settings", "settings"]


@pytest.mark.postgres
def test_a_database_of_another_release_is_named(run: Run, postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '20261121_first_expand'")
    url = f"127.0.0.1:{free_port()}"
    done = run("doctor", "--json", POSTGRES__URL=postgres_url, KAFKA__BOOTSTRAP_SERVERS=url)
    outcome, said = told(done.out)["database schema"]
    assert (outcome, "20261121_first_expand" in said, "db upgrade" in said) == ("fail", True, True)


def test_a_folder_whose_weights_were_cut_off_is_found_by_its_header(tmp_path: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=16)
    with torch.no_grad():
        BertForSequenceClassification(config).save_pretrained(tmp_path)
    assert check_folder("member", tmp_path).outcome is Outcome.WARN
    Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    assert check_folder("member", tmp_path).outcome is Outcome.OK
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    found = check_folder("member", tmp_path)
    assert (found.outcome, "its header tells of" in found.found) == (Outcome.FAIL, True)
    weights.write_bytes(whole[:5])
    assert check_folder("member", tmp_path).outcome is Outcome.FAIL
    (tmp_path / "tokenizer.json").write_text("{}")
    weights.write_bytes(whole)
    assert check_folder("member", tmp_path).found.startswith("config.json or tokenizer.json: ")
    assert check_folder("member", tmp_path / "none").outcome is Outcome.FAIL


def test_an_ensemble_is_loaded_on_the_device_and_timed_and_one_that_breaks_is_a_failure(
    tmp_path: Path,
) -> None:
    for number in range(2):
        build_tiny_base(tmp_path / "whole" / f"member-{number}", ["one two three"], seed=number)

    def loaded(folder: Path, device: str = "cpu") -> Finding:
        rewards = {"backend": "huggingface", "models": [str(folder)], "device": device}
        reward, refusal = check_loading(Settings.model_validate({"rewards": rewards}), None)
        assert (reward.about, refusal.about, refusal.outcome) == ("reward ensemble", "refusal weights", Outcome.OK)
        return reward

    found = loaded(tmp_path / "whole")
    assert found.outcome is Outcome.OK
    assert re.fullmatch(r"scorer \S+ is loaded on cpu and has scored an answer, \d+\.\d s", found.found)
    assert "'tpu' is not known" in loaded(tmp_path / "whole", "tpu").found
    weights = tmp_path / "whole/member-1/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert loaded(tmp_path / "whole").outcome is Outcome.FAIL
