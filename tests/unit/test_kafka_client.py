"""What is refused before any broker is asked: a login that is not whole, and files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import InvalidSetting
from monitor.ingest.kafka_client import client_options
from monitor.settings.kafka import KafkaSettings
from tests.certificates import Authority


def refused(**changes: Any) -> str:
    with pytest.raises(InvalidSetting) as caught:
        client_options(KafkaSettings(**changes))
    said = str(caught.value)
    assert "hunter2" not in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("missing", ["sasl_mechanism", "sasl_username", "sasl_password"])
def test_a_login_wants_mechanism_user_and_password(missing: str) -> None:
    login = {"sasl_mechanism": "PLAIN", "sasl_username": "monitor", "sasl_password": "hunter2"}
    del login[missing]
    said = refused(security_protocol="SASL_SSL", **login)
    assert said.startswith(f"kafka.{missing} is not set, and kafka.security_protocol = 'SASL_SSL' logs in")


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


unusable: dict[str, tuple[Callable[[Authority], dict[str, Any]], str]] = {
    "an authority's file that is not there": (
        lambda mine: {"ssl_cafile": mine.folder / "none.pem"},
        "none.pem': No such file or directory; wanted a PEM file that this process may read",
    ),
    "an authority's file that is a folder": (
        lambda mine: {"ssl_cafile": mine.folder},
        "Is a directory; wanted a PEM file",
    ),
    "an authority's file without a certificate": (
        lambda mine: {"ssl_cafile": _write(mine.folder / "x", "hello")},
        "x': holds no certificate as PEM",
    ),
    "a certificate that is not there": (
        lambda mine: {"ssl_certfile": mine.folder / "none.crt", "ssl_keyfile": mine.issue("a").keyfile},
        "kafka.ssl_certfile = ",
    ),
    "a key that is not there": (
        lambda mine: {"ssl_certfile": mine.issue("a").certfile, "ssl_keyfile": mine.folder / "none.key"},
        "kafka.ssl_keyfile = ",
    ),
    "a key of another certificate": (
        lambda mine: {"ssl_certfile": mine.issue("a").certfile, "ssl_keyfile": mine.issue("b").keyfile},
        "the key is not this certificate's",
    ),
    "a key that is none": (
        lambda mine: {"ssl_certfile": mine.issue("a").certfile, "ssl_keyfile": _write(mine.folder / "x", "hello")},
        "wanted a certificate and its private key as PEM",
    ),
    "an encrypted key without its password": (
        lambda mine: {
            "ssl_certfile": mine.issue("a", password="hunter2").certfile,
            "ssl_keyfile": mine.folder / "authority-a.key",
        },
        "the key is encrypted; set kafka.ssl_key_password",
    ),
    "an encrypted key with another password": (
        lambda mine: {
            "ssl_certfile": mine.issue("a", password="right").certfile,
            "ssl_keyfile": mine.folder / "authority-a.key",
            "ssl_key_password": "hunter2",
        },
        "kafka.ssl_key_password does not open the key",
    ),
}


@pytest.mark.parametrize(("changes", "said"), unusable.values(), ids=unusable)
def test_a_file_that_cannot_be_used_is_named_with_its_setting(
    tmp_path: Path, changes: Callable[[Authority], dict[str, Any]], said: str
) -> None:
    assert said in refused(security_protocol="SSL", **changes(Authority(tmp_path)))


def test_files_that_can_be_used_are_handed_on_as_paths_and_read_again_later(tmp_path: Path) -> None:
    mine = Authority(tmp_path)
    certificate = mine.issue("a", password="hunter2")
    options = client_options(
        KafkaSettings(
            security_protocol="SSL",
            ssl_cafile=mine.cafile,
            ssl_certfile=certificate.certfile,
            ssl_keyfile=certificate.keyfile,
            ssl_key_password="hunter2",
        )
    )
    assert (options["ssl_cafile"], options["ssl_certfile"]) == (str(mine.cafile), str(certificate.certfile))
    assert "hunter2" not in str(options)
