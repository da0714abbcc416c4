"""News of changes to open pages: one look at the store for all of them, and nothing where nothing changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import anyio.to_thread
import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from monitor.errors import Unavailable
from monitor.web.connection import END_ANSWER, STOPPING
from monitor.web.problem import answer

MAX_STREAMS = 64  # of one process; who comes later asks from time to time instead
LOOK_SECONDS = 2.0  # between two looks at the store
STREAM_SECONDS = 600.0  # of one stream: the client comes again then, and is asked anew who it is
HEARTBEAT_SECONDS = 15.0  # of silence, before a line says that the stream is alive
RETRY_SECONDS = 30  # after which who found no room may try again

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What is known after a look: the version of each part, or why nothing can be known."""

    versions: Mapping[str, str] = field(default_factory=dict)
    away: str | None = None


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream: it is woken by news, and takes the latest of them however long it was away."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    told: News | None = None

    def end(self) -> None:
        self.ended = True
        self.woken.set()

    def take(self, latest: News | None) -> bytes:
        """Return the events from what was told to *latest*; empty where that is the same."""
        self.woken.clear()
        before, self.told = self.told, latest
        if latest is None or latest == before:
            return b""
        if latest.away is not None:
            return _event("away", {"detail": latest.away})
        known = {} if before is None or before.away is not None else before.versions
        return _event("changed", {part: told for part, told in latest.versions.items() if known.get(part) != told})


class Feed:
    """Looks while somebody listens; belongs to one event loop. *look* is called in a thread, one call at a time."""

    def __init__(
        self,
        look: Callable[[], Mapping[str, str]],
        *,
        max_streams: int = MAX_STREAMS,
        look_seconds: float = LOOK_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stream_seconds: float = STREAM_SECONDS,
    ) -> None:
        self._look = look
        self._max_streams = max_streams
        self._look_seconds = look_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.stream_seconds = stream_seconds
        self.latest: News | None = None
        self._listeners: set[Listener] = set()
        self._watching: asyncio.Task[None] | None = None

    def join(self) -> Listener | None:
        """Return a listener, or None where there are as many as there may be; who joins must leave."""
        if len(self._listeners) >= self._max_streams:
            return None
        listener = Listener()
        self._listeners.add(listener)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
            self._watching.add_done_callback(self._stop_watching)
        listener.woken.set()  # for what is known already
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            try:
                news = News(await anyio.to_thread.run_sync(self._look))
            except Unavailable as lost:
                news = News(away=lost.plain)
            if news != self.latest:
                self.latest = news
                for listener in self._listeners:
                    listener.woken.set()
            await asyncio.sleep(self._look_seconds)

    def _stop_watching(self, watching: asyncio.Task[None]) -> None:
        """Where looking failed, end the streams: each client then asks by itself, and is told of the failure."""
        self._watching, self.latest = None, None
        if not watching.cancelled() and watching.exception() is not None:
            log.error("feed_failed", exc_info=watching.exception())
            for listener in self._listeners:
                listener.end()
        elif self._listeners:  # somebody came while it was being cancelled
            self._watching = asyncio.create_task(self._watch())
            self._watching.add_done_callback(self._stop_watching)


class EventStream(Response):
    """Server-sent events of a feed, until the client goes, the server stops, looking fails or the time is over."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = self._feed.join()
        if listener is None:
            headers = {"Retry-After": str(RETRY_SECONDS)}
            full = answer(
                503, "as many streams of changes are open as there may be: ask again from time to time", headers
            )
            return await full(scope, receive, send)
        state = scope.setdefault("state", {})
        state[END_ANSWER] = listener.end
        listener.ended = STOPPING in state
        departure = asyncio.create_task(_until_gone(receive, listener))
        term = asyncio.get_running_loop().call_later(self._feed.stream_seconds, listener.end)
        try:
            del self.headers["content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send(_piece(f"retry: {RETRY_SECONDS * 1000}\n\n".encode()))
            while not listener.ended:
                with suppress(TimeoutError):
                    await asyncio.wait_for(listener.woken.wait(), self._feed.heartbeat_seconds)
                due = not listener.woken.is_set()
                events = listener.take(self._feed.latest)
                if events or due:
                    await send(_piece(events or b": still here\n\n"))
            await send(_piece(b"", more=False))
        finally:
            self._feed.leave(listener)
            departure.cancel()
            term.cancel()


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()


def _piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
