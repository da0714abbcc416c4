"""Ports for servers that are told theirs, and may have to come back to it."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 20_000, 32_000  # below those that the kernel gives out, on Linux 32768 and up
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody else gets, not even while its server is away.

    One that the kernel chose could go to any client's connection as soon as it is let go.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randint(_FIRST, _LAST)
        with socket.socket() as held:
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]
