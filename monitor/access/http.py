"""What a provider of log-ins answers over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import httpx

from monitor.errors import Unavailable

TIMEOUT_SECONDS = 10.0
AWAY = "the provider of log-ins (web.oidc.issuer) is away; the log says how"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON object of the body; empty where it is none."""

    status: int
    body: Mapping[str, Any]

    @property
    def is_good(self) -> bool:
        return self.status == httpx.codes.OK

    @property
    def error(self) -> str:
        words = [str(self.body[name])[:300] for name in ("error", "error_description") if name in self.body]
        return ": ".join(words) or f"it answered {self.status}"


class ProviderHttp:
    """Asks the provider; every call raises `Unavailable` where it does not answer."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._verify: ssl.SSLContext | bool = True if tls is None else tls

    def get(self, url: str, *, bearer: str | None = None) -> Answer:
        return self._ask("GET", url, headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})

    def post(self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None) -> Answer:
        """Send *form*; *basic* is the client's id and secret, which RFC 6749, section 2.3.1, wants encoded."""
        auth = None if basic is None else httpx.BasicAuth(quote_plus(basic[0]), quote_plus(basic[1]))
        return self._ask("POST", url, data=dict(form), auth=auth)

    def _ask(self, method: str, url: str, **request: Any) -> Answer:
        try:
            with httpx.Client(verify=self._verify, timeout=TIMEOUT_SECONDS) as client:
                given = client.request(method, url, **request)
        except httpx.HTTPError as error:
            raise Unavailable(f"{url}: {error}", plain=AWAY) from None
        try:
            body = given.json()
        except ValueError:
            body = {}  # a userinfo may be a signed token, which adds nothing that we need
        return Answer(given.status_code, body if isinstance(body, dict) else {})
