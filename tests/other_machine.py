"""A machine of its own as a network namespace: what it serves can lose power, so that not even a FIN comes."""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import pytest

_CLONE_NEWNET = 0x40000000
_NETWORKS = "198.18.{}.{}"  # of the range kept for tests between networks (RFC 2544)


class OtherMachine:
    """Forwards TCP to a Unix socket from behind a cable that can be cut; skips the test where root is wanting."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._name = f"rm{uuid4().hex[:8]}"
        self._cable = f"{self._name}n", f"{self._name}f"
        net = int(self._name[2:4], 16), int(self._name[4:6], 16) & 0xFC  # one of its own: two may be up at once
        self._near, self._far = (_NETWORKS.format(net[0], net[1] + host) for host in (1, 2))
        self._sockets: list[socket.socket] = []
        self.port = 0

    def __enter__(self) -> OtherMachine:
        try:
            self._ip("netns", "add", self._name)
            self._ip("link", "add", self._cable[0], "type", "veth", "peer", "name", self._cable[1], "netns", self._name)
            self._ip("addr", "add", f"{self._near}/30", "dev", self._cable[0])
            self._ip("link", "set", self._cable[0], "up")
            self._ip("-n", self._name, "addr", "add", f"{self._far}/30", "dev", self._cable[1])
            self.restore_power()
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            self.__exit__(None, None, None)
            pytest.skip(f"no network namespace can be made here: {error}")
        with self._inside():
            listener = socket.create_server((self._far, 0))
        self.port = listener.getsockname()[1]
        self._sockets.append(listener)
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for item in self._sockets:
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        for words in (("link", "del", self._cable[0]), ("netns", "del", self._name)):
            with suppress(FileNotFoundError, subprocess.CalledProcessError):
                self._ip(*words)

    def url(self, database_url: str) -> str:
        """Return the URL of the same database on this machine."""
        address, _, query = database_url.partition("?")
        assert query.startswith("host=")
        return address.replace("@/", f"@{self._far}:{self.port}/")

    def lose_power(self) -> None:
        """Nothing that is sent arrives from now on, in either direction, and nobody is told."""
        self._ip("-n", self._name, "link", "set", self._cable[1], "down")

    def restore_power(self) -> None:
        self._ip("-n", self._name, "link", "set", self._cable[1], "up")

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Let this thread open its sockets on the machine."""
        libc = ctypes.CDLL(None, use_errno=True)
        with (
            Path("/proc/thread-self/ns/net").open("rb") as home,
            Path(f"/var/run/netns/{self._name}").open("rb") as far,
        ):
            if libc.setns(far.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                assert libc.setns(home.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._sockets += [client, server]
                threading.Thread(target=_forward, args=(client, server), daemon=True).start()


def _forward(client: socket.socket, server: socket.socket) -> None:
    other = {client: server, server: client}
    with selectors.DefaultSelector() as ready, suppress(OSError):
        for item in other:
            ready.register(item, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                source: socket.socket = key.fileobj  # type: ignore[assignment]
                data = source.recv(65536)
                if not data:
                    client.close()
                    server.close()
                    return
                other[source].sendall(data)
