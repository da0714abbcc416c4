"""HTTP over one connection, bounded in bytes and in time before anybody has to be known."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import get_remote_addr

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"retry-after: 5\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)
END_ANSWER = "end_answer"  # in a request's state: what ends an answer that does not end by itself
STOPPING = "stopping"  # likewise: the server stops, so that such an answer had better not begin
_LATE = b"the request did not arrive in time\n"
_QUIET_SECONDS = 10.0  # between two warnings of one kind in the log


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client may take of the server; each is generous for an honest one."""

    head_bytes: int = 16_384  # request line and headers
    head_seconds: float = 10.0  # until they have arrived
    body_seconds: float = 30.0  # from there until the body has
    write_seconds: float = 30.0  # for which a client may leave its answer unread
    connections: int = 512  # at once, of all clients
    connections_each: int = 128  # of one address, so that one client leaves room for the probes


class SeldomWarnings(logging.Filter):
    """Lets one warning of a kind through in ten seconds: whoever floods the server must not flood the log."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[object, float] = {}  # when, by the text without its values: a closed set

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if record.levelno > logging.WARNING or now - self._told.get(record.msg, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._told[record.msg] = now
            return True
        return False


_log = logging.getLogger("uvicorn.error.connection")
_log.addFilter(SeldomWarnings())


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with a clock on each phase of a request, and a bound on connections.

    Everything else is uvicorn's own, and runs on its event loop.
    """

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _log
        self._limits = limits
        self._clock: asyncio.TimerHandle | None = None
        self._phase: object = None  # what the clock runs for
        self._stalled: asyncio.TimerHandle | None = None
        self._has_spoken = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.client = get_remote_addr(transport)
        if self._is_over_bound():
            self.logger.warning("Too many connections at once: the newest are refused.")
            self.transport = transport
            transport.write(_BUSY)
            transport.close()
            return
        super().connection_made(transport)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        for clock in (self._clock, self._stalled):
            if clock is not None:
                clock.cancel()
        if self in self.connections:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._has_spoken = True
        # In pieces: a head that came at once would be looked at only when whole.
        for start in range(0, len(data), self._limits.head_bytes):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + self._limits.head_bytes])
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_complete:
            state = self.cycle.scope.setdefault("state", {})
            state[STOPPING] = True
            if END_ANSWER in state:
                state[END_ANSWER]()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def _is_over_bound(self) -> bool:
        if len(self.connections) >= self._limits.connections:
            return True
        addresses = [other.client[0] for other in self.connections if isinstance(other, H11Protocol) and other.client]
        return self.client is not None and addresses.count(self.client[0]) >= self._limits.connections_each

    def _follow(self) -> None:
        """Set the clock for the phase the request is in now; a phase that goes on keeps its clock."""
        phase = self.conn.their_state if not self.transport.is_closing() else h11.CLOSED
        if phase is h11.IDLE and self.timeout_keep_alive_task is not None:
            phase = h11.DONE  # between two requests uvicorn's own clock runs
        if phase is self._phase:
            return
        self._phase = phase
        if self._clock is not None:
            self._clock.cancel()
        seconds = {h11.IDLE: self._limits.head_seconds, h11.SEND_BODY: self._limits.body_seconds}.get(phase)
        self._clock = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        """Close a connection whose request is late; one that began is told why, unless its answer has begun."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application is told that the client has gone
            self.cycle.message_event.set()
        if self._has_spoken and self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            events = (h11.Response(status_code=408, headers=headers), h11.Data(data=_LATE), h11.EndOfMessage())
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
