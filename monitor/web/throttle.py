"""How often a client may guess: a few refused logins at once, then a few a minute."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

AT_ONCE = 10  # refused logins before a client must wait
PER_SECOND = 1 / 6  # refused logins it may have from then on
MAX_CLIENTS = 4096  # remembered at once; the one that was silent longest is forgotten
_IPV6_PREFIX = 64  # of one customer's network: its addresses are one client
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Debt:
    refused: float  # logins, paid off as time goes by
    at: float  # the clock when it was counted


class LoginThrottle:
    """Counts refused logins by client, in bounded memory; safe from any thread.

    A client past its bound must wait, and its tokens are not even compared: the
    time a refusal takes says nothing then. Two are never held up by it: other
    clients, and a token that was good from the same address before, so that
    nobody behind the same proxy can lock out who is at work.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._debts: OrderedDict[str, _Debt] = OrderedDict()
        self._proven: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait_seconds(self, client: str, token: bytes) -> float:
        """Return how long *client* must wait before *token* is looked at; 0.0 where it need not."""
        with self._lock:
            if (_network(client), token) in self._proven:
                return 0.0
            refused = self._refused(_network(client))
        return max(0.0, refused - (AT_ONCE - 1)) / PER_SECOND

    def count_refusal(self, client: str) -> int:
        """Count a refused login; return how many are held against *client* now."""
        network = _network(client)
        with self._lock:
            debt = _Debt(self._refused(network) + 1, self._clock())
            _remember(self._debts, network, debt)
        return math.ceil(debt.refused)

    def prove(self, client: str, token: bytes) -> None:
        """Remember that *token* was good from where *client* is."""
        with self._lock:
            _remember(self._proven, (_network(client), token), None)

    def _refused(self, network: str) -> float:
        debt = self._debts.get(network)
        return 0.0 if debt is None else max(0.0, debt.refused - (self._clock() - debt.at) * PER_SECOND)


def _network(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return client


def _remember(entries: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    entries[key] = value
    entries.move_to_end(key)
    while len(entries) > MAX_CLIENTS:
        entries.popitem(last=False)
