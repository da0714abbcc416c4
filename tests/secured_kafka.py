"""Apache Kafka with a listener for each way in: passwords, certificates, both, and wrong ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from tests.certificates import Authority, Certificate
from tests.ports import free_ports
from tests.real_kafka import RealKafka

USER, PASSWORD = "monitor", "correct horse battery"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
LISTENERS = {  # name -> protocol; each is a port of its own
    "SASLPLAIN": "SASL_PLAINTEXT",
    "SASLTLS": "SASL_SSL",
    "SCRAMONLY": "SASL_PLAINTEXT",
    "TLS": "SSL",
    "MTLS": "SSL",
    "ELSEWHERE": "SSL",  # its certificate names another host
    "EXPIRED": "SSL",
}
MECHANISMS = {"SASLPLAIN": ("PLAIN", *SCRAM), "SASLTLS": ("PLAIN", *SCRAM), "SCRAMONLY": ("SCRAM-SHA-512",)}


@dataclass
class SecuredKafka(RealKafka):
    """One broker; its plain listener is the tests' own way in."""

    ports: dict[str, int] = field(default_factory=lambda: dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True)))

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder)
        self.stranger = Authority(self.folder, "stranger")
        self.server = self.authority.issue("server", "localhost", "127.0.0.1")
        self.client = self.authority.issue("client")

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    def _lines(self) -> list[str]:
        certificates = {
            "ELSEWHERE": self.authority.issue("elsewhere", "kafka.elsewhere.example"),
            "EXPIRED": self.authority.issue("old", "127.0.0.1", age=timedelta(days=30)),
        }
        lines = [f"ssl.truststore.type=PEM\nssl.truststore.location={self.authority.cafile}"]
        for name, protocol in LISTENERS.items():
            prefix = f"listener.name.{name.lower()}"
            if protocol.endswith("SSL"):
                lines += _keystore(prefix, certificates.get(name, self.server))
            if name in MECHANISMS:
                lines.append(f"{prefix}.sasl.enabled.mechanisms={','.join(MECHANISMS[name])}")
            for mechanism in MECHANISMS.get(name, ()):
                lines.append(f"{prefix}.{mechanism.lower()}.sasl.jaas.config={_login(mechanism)}")
        lines.append("listener.name.mtls.ssl.client.auth=required")
        lines.append("listener.name.scramonly.scram-sha-512.connections.max.reauth.ms=2000")  # a session's seconds
        return lines

    def _listeners(self) -> dict[str, tuple[str, int]]:
        return super()._listeners() | {name: (protocol, self.ports[name]) for name, protocol in LISTENERS.items()}

    def _users(self) -> list[str]:
        return [f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]" for mechanism in SCRAM]


def _keystore(prefix: str, certificate: Certificate) -> list[str]:
    return [f"{prefix}.ssl.keystore.type=PEM", f"{prefix}.ssl.keystore.location={certificate.keystore}"]


def _login(mechanism: str) -> str:
    if mechanism == "PLAIN":
        return f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    return "org.apache.kafka.common.security.scram.ScramLoginModule required;"
