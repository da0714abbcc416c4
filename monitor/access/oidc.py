"""OpenID Connect's authorization code flow with PKCE, as a confidential or a public client.

Source: OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9207 (`iss` in the answer).
"""

from __future__ import annotations

import hmac
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from monitor.access.credential import new_secret
from monitor.access.http import AWAY, ProviderHttp
from monitor.access.person import LoginRefused, Person, RoleRules
from monitor.errors import Unavailable

# Signatures that a stranger cannot make with what is public, or with the client's secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
LEEWAY_SECONDS = 60  # between the provider's clock and this machine's
METADATA_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to the provider."""

    issuer: str
    client_id: str
    client_secret: str | None  # None: a public client
    scopes: tuple[str, ...]
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """What the browser keeps between leaving and coming back; nobody else can read it."""

    state: str
    nonce: str
    verifier: str
    after: str  # the path to go on to


class OidcProvider:
    """Sends people to the provider and reads what it says of them; safe from any thread."""

    def __init__(self, client: Client, rules: RoleRules, *, tls: ssl.SSLContext | None = None) -> None:
        self._client = client
        self._rules = rules
        self._http = ProviderHttp(tls)
        self._lock = threading.Lock()
        self._metadata: Mapping[str, Any] | None = None
        self._keys: KeySet | None = None
        self._read_at = 0.0

    @property
    def issuer(self) -> str:
        return self._client.issuer

    def begin(self, after: str) -> tuple[str, PendingLogin]:
        """Return where to send the browser, and what it must bring back."""
        pending = PendingLogin(new_secret(), new_secret(), new_secret() + new_secret(), after)
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": " ".join(self._client.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": create_s256_code_challenge(pending.verifier),
            "code_challenge_method": "S256",
        }
        return _with(self._known("authorization_endpoint"), asked), pending

    def finish(self, pending: PendingLogin, answered: Mapping[str, str]) -> Person:
        """Return who came back; raise `LoginRefused` where the answer is not to be believed."""
        if not hmac.compare_digest(answered.get("state", "").encode(), pending.state.encode()):
            raise LoginRefused("this answer belongs to another log-in: try again")
        if error := answered.get("error"):
            raise LoginRefused(f"the provider said {error[:100]!r}: {answered.get('error_description', '')[:300]}")
        if answered.get("iss", self._issuer()) != self._issuer():
            raise LoginRefused("the answer names another provider than web.oidc.issuer")
        given = self._exchange(answered.get("code", ""), pending.verifier)
        claims = self._claims(given, pending.nonce)
        return self._rules.person(claims, self._client.issuer)

    def logout_url(self, back: str) -> str | None:
        """Return where the provider ends its own session too; None where it offers none."""
        endpoint = self._read_metadata().get("end_session_endpoint")
        if not isinstance(endpoint, str):
            return None
        return _with(endpoint, {"client_id": self._client.client_id, "post_logout_redirect_uri": back})

    def _exchange(self, code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": verifier,
        }
        secret, basic = self._client.client_secret, None
        methods = self._read_metadata().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret is not None and "client_secret_basic" in methods:
            basic = (self._client.client_id, secret)
        else:
            form |= {"client_id": self._client.client_id} | ({} if secret is None else {"client_secret": secret})
        answer = self._http.post(self._known("token_endpoint"), form, basic=basic)
        if not answer.is_good:
            raise LoginRefused(f"the provider did not take the code it gave: {answer.error}")
        return answer.body

    def _claims(self, given: Mapping[str, Any], nonce: str) -> Mapping[str, object]:
        """Return the identity token's claims, with those that the provider tells on request alone."""
        claims = dict(self._validated(str(given.get("id_token", "")), str(given.get("access_token", "")), nonce))
        endpoint = self._read_metadata().get("userinfo_endpoint")
        if isinstance(endpoint, str) and given.get("access_token"):
            answer = self._http.get(endpoint, bearer=str(given["access_token"]))
            if answer.is_good and answer.body.get("sub") == claims["sub"]:  # Core 1.0, section 5.3.2
                claims = {**answer.body, **claims}
        return claims

    def _validated(self, token: str, access_token: str, nonce: str) -> CodeIDToken:
        # `alg` "none" and the client's own secret as a key are no signature of the provider's.
        offered = self._read_metadata().get("id_token_signing_alg_values_supported", ["RS256"])
        registry = JWSRegistry(algorithms=[name for name in ALGORITHMS if name in offered], strict_check_header=False)
        try:
            try:
                decoded = jwt.decode(token, self._read_keys(), registry=registry)
            except InvalidKeyIdError:  # the provider has new keys
                decoded = jwt.decode(token, self._read_keys(anew=True), registry=registry)
            wanted = {"iss": {"values": [self._issuer()]}, "aud": {"value": self._client.client_id}}
            parameters = {"nonce": nonce, "client_id": self._client.client_id, "access_token": access_token}
            claims = CodeIDToken(decoded.claims, decoded.header, wanted, parameters)
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError) as wrong:
            raise LoginRefused(f"the provider's identity token is not to be believed: {wrong}") from None
        return claims

    def _issuer(self) -> str:
        return str(self._read_metadata()["issuer"])

    def _known(self, endpoint: str) -> str:
        found = self._read_metadata().get(endpoint)
        if not isinstance(found, str):
            raise Unavailable(f"{self._client.issuer} tells no {endpoint}", plain=AWAY)
        return found

    def _read_metadata(self) -> Mapping[str, Any]:
        with self._lock:
            known, age = self._metadata, time.monotonic() - self._read_at
        if known is not None and age < METADATA_SECONDS:
            return known
        url = f"{self._client.issuer.rstrip('/')}/.well-known/openid-configuration"
        answer = self._http.get(url)
        found = answer.body if answer.is_good else {}
        if str(found.get("issuer", "")).rstrip("/") != self._client.issuer.rstrip("/"):
            raise Unavailable(
                f"web.oidc.issuer = {self._client.issuer!r}: {url} answered {answer.status} and names the issuer "
                f"{found.get('issuer')!r}",
                plain=AWAY,
            )
        with self._lock:
            self._metadata, self._keys, self._read_at = found, None, time.monotonic()
        return found

    def _read_keys(self, *, anew: bool = False) -> KeySet:
        with self._lock:
            known = self._keys
        if known is not None and not anew:
            return known
        answer = self._http.get(self._known("jwks_uri"))
        try:
            keys = KeySet.import_key_set(dict(answer.body))  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError) as wrong:
            raise Unavailable(f"{self._client.issuer}: its keys cannot be read: {wrong}", plain=AWAY) from None
        with self._lock:
            self._keys = keys
        return keys


def _with(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
