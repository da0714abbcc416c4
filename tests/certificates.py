"""Certificate authorities of a test's own, and what they sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = timedelta(days=2)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    certfile: Path
    keyfile: Path

    @property
    def keystore(self) -> Path:
        """Both in one file, as a broker reads them."""
        path = self.certfile.with_suffix(".keystore.pem")
        path.write_bytes(self.keyfile.read_bytes() + self.certfile.read_bytes())
        return path


@dataclass(frozen=True)
class Authority:
    folder: Path
    name: str = "authority"

    @property
    def cafile(self) -> Path:
        path = self.folder / f"{self.name}.pem"
        if not path.exists():
            path.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))
        return path

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def _own(self) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        return (
            self._builder(self.name, timedelta())
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self, name: str, *hosts: str, password: str | None = None, age: timedelta = timedelta(hours=1)
    ) -> Certificate:
        """Sign a certificate that was made *age* ago and is good for two days; *password* encrypts its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name, age).public_key(key.public_key())
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), False)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signed = builder.add_extension(issuer_key, critical=False).sign(self._key, hashes.SHA256())
        form = (
            serialization.NoEncryption()
            if password is None
            else serialization.BestAvailableEncryption(password.encode())
        )
        made = Certificate(self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key")
        made.certfile.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
        made.keyfile.write_bytes(pem)
        made.keyfile.chmod(0o600)
        return made

    def _builder(self, name: str, age: timedelta) -> x509.CertificateBuilder:
        started = datetime.now(UTC) - age - timedelta(hours=1)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .serial_number(x509.random_serial_number())
            .not_valid_before(started)
            .not_valid_after(started + VALID)
        )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
