"""Requests to a monitor's API, and what its answers mean."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from monitor import __version__
from monitor.cli.server import Server
from monitor.cli.terminal import complain
from monitor.errors import Conflict, InvalidInput, InvalidSetting, NotFound, Unavailable
from monitor.notify.http import wait_of
from monitor.settings.load import TOKEN_VARIABLE

API = "/api/v1"
MAX_ROWS = 1000  # of one page of the API
ATTEMPTS = 3  # of a request that got no answer; a change carries a key, so that it is made once
PATIENCE_SECONDS = 60.0
MOST_WAIT_SECONDS = 90.0  # for a change that goes on there; after 60 a key is free whose process ended
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.2, 10.0


class Api:
    """Requests to one server's API; every refusal names the server and what was wanted of it."""

    def __init__(
        self,
        server: Server,
        client: httpx.Client,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._client = server, client
        self._sleep, self._clock = sleep, clock

    def get(self, path: str, **params: object) -> Any:
        return self._ask("GET", path, params=_given(params)).json()

    def page(self, path: str) -> bytes | None:
        """Return what is no JSON; None where there is none."""
        try:
            return self._ask("GET", path, params={}).content
        except NotFound:
            return None

    def find(self, path: str) -> Any:
        """Return what stands at *path*; None where nothing does."""
        try:
            return self.get(path)
        except NotFound:
            return None

    def rows(self, path: str, *, limit: int, **params: object) -> list[Any]:
        """Return up to *limit* rows of a listing, over as many pages as they take."""
        asked: Mapping[str, Any] | None = _given(params) | {"limit": min(limit, MAX_ROWS)}
        found: list[Any] = []
        while asked is not None and len(found) < limit:
            answer = self._ask("GET", path, params=asked)
            found += answer.json()
            link = answer.links.get("next", {}).get("url")
            asked = None if link is None else dict(httpx.QueryParams(urlsplit(link).query).multi_items())
        return found[:limit]

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Ask for a change; sent again where no answer came, and made once all the same."""
        headers = {"Idempotency-Key": str(uuid4()), "X-Requested-With": "rlhf-monitor"}
        stop = None
        while True:
            answer = self._send("POST", path, json=body or {}, headers=headers)
            pause = _pause_of(answer)
            if pause is None:
                break
            if stop is None:
                stop = self._clock() + MOST_WAIT_SECONDS
                complain(f"rlhf-monitor: {self._server.url}: an earlier sending of this goes on there; waiting for it")
            elif self._clock() + pause > stop:
                raise self._unfinished(answer, f"POST {API}{path}")
            self._sleep(pause)
        if not answer.is_success:
            raise self._refusal(answer, f"POST {API}{path}")
        return answer.json() if answer.content else None

    def greet(self) -> None:
        """Raise where the server does not know the token, or is of another release."""
        version = self.get("/whoami").get("version")
        if version is None or version.split(".")[:2] != __version__.split(".")[:2]:
            raise InvalidInput(
                f"{self._server.url}: it is rlhf-monitor {version or 'of before 0.2'}, and this is {__version__}:"
                " install the same version here"
            )

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = self._send(method, path, **request)
        if not answer.is_success:
            raise self._refusal(answer, f"{method} {API}{path}")
        return answer

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._client.request(method, f"{self._server.url}{API}{path}", **request)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS or _is_final(error):
                    raise self._unreached(error, f"{method} {API}{path}") from None
        raise AssertionError("the last attempt returns or raises")

    def _unfinished(self, answer: httpx.Response, wanted: str) -> Exception:
        said = self._refusal(answer, wanted)
        return Unavailable(
            f"{said}; it was waited for, {MOST_WAIT_SECONDS:.0f} seconds long: the change may have been made or be made"
            " yet, so look before you ask for it anew"
        )

    def _unreached(self, error: httpx.TransportError, wanted: str) -> Exception:
        where = f"{self._server.url}: cannot be asked ({wanted})"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return InvalidSetting(f"{where}: {error}; name the authority that signed its certificate with --ca FILE")
        return Unavailable(f"{where}: {str(error) or type(error).__name__}; is the URL right, and the daemon up?")

    def _refusal(self, answer: httpx.Response, wanted: str) -> Exception:
        is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
        told = answer.json().get("detail", "") if is_problem else f"{answer.status_code} {answer.reason_phrase}"
        said = f"{self._server.url}: {wanted}: {told}"
        if answer.status_code == 401:
            return InvalidSetting(f"{said}; the token is taken from {TOKEN_VARIABLE} or --token-file")
        if answer.status_code == 404 and not is_problem:
            return InvalidInput(f"{said}; no rlhf-monitor of this version answers there")
        kinds: dict[int, type[Exception]] = {404: NotFound, 403: Conflict, 409: Conflict, 422: InvalidInput}
        return kinds.get(answer.status_code, Unavailable)(said)


@contextmanager
def open_api(server: Server) -> Iterator[Api]:
    """Open a client of *server* for the block, once it knows the token and is of this release."""
    headers = {"Accept": "application/json", "User-Agent": f"rlhf-monitor/{__version__}"}
    if server.token is not None:
        headers["Authorization"] = f"Bearer {server.token}"
        if urlsplit(server.url).scheme == "http" and not _is_here(urlsplit(server.url).hostname or ""):
            complain(f"rlhf-monitor: {server.url} is no https: everybody on the way can read the token")
    with httpx.Client(headers=headers, verify=_authorities(server.ca), timeout=PATIENCE_SECONDS) as client:
        api = Api(server, client)
        api.greet()
        yield api


def _authorities(ca: Path | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(f"--ca {ca}: {error.strerror or error}; wanted a file of PEM certificates") from None


def _given(params: Mapping[str, object]) -> dict[str, Any]:
    """Return what a query holds; None is left out."""
    return {
        name: value if isinstance(value, Sequence) else str(value)
        for name, value in params.items()
        if value is not None
    }


def _pause_of(answer: httpx.Response) -> float | None:
    """Return the seconds after which a change that goes on is asked for again; None where it does not go on."""
    wait = wait_of(answer.headers.get("Retry-After")) if answer.status_code == 409 else None
    return None if wait is None else min(max(wait, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS)


def _is_final(error: httpx.TransportError) -> bool:
    """Say whether asking again is no use."""
    return isinstance(error, httpx.UnsupportedProtocol | httpx.ConnectError)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
