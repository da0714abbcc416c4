"""Who gets in, and as whom: roles from claims, secrets by their digest, sessions that other pages cannot use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import certifi
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.access.credential import AWAY_SECONDS, FRESH_SECONDS, Holder, RememberedCredentials, digest_of
from monitor.access.oidc import Client, OidcProvider, PendingLogin
from monitor.access.person import LoginRefused, Person, RoleRules
from monitor.app.access import login_of
from monitor.domain.order import Actor, Role
from monitor.errors import InvalidSetting, Unavailable
from monitor.settings.web import OidcSettings, WebSettings
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from monitor.web.routes.access import Login
from tests.unit.in_memory_credentials import MADE, InMemoryCredentials
from tests.unit.in_memory_ports import InMemoryMonitor

ROLES = {"ops": Role.OPERATOR, "raters": Role.ANNOTATOR, "staff": Role.VIEWER}
RULES = RoleRules(("email", "preferred_username"), "realm_access.roles", ROLES)
HOME = "https://monitor.example"
CHANGE = {"X-Requested-With": "rlhf-monitor"}
COOKIE = "__Host-monitor-session"


@pytest.fixture
def credentials() -> InMemoryCredentials:
    return InMemoryCredentials()


@pytest.fixture
def browser(credentials: InMemoryCredentials) -> TestClient:
    """A browser at a console where people log in, by a provider that nobody runs."""
    client = Client("https://id.example", "rlhf-monitor", None, ("openid",), f"{HOME}/login/callback")
    way = Login(OidcProvider(client, RULES), HOME, timedelta(hours=12))
    monitor = InMemoryMonitor(opened=credentials)
    app = create_app(monitor.ports(), health=Health(()), registry=CollectorRegistry(), tokens={}, login=way)
    return TestClient(app, base_url=HOME, follow_redirects=False)


@pytest.mark.parametrize(
    ("claimed", "role"),
    [(["staff", "ops"], "operator"), (["raters", "staff"], "annotator"), ("staff", "viewer"), (["staff", 7], "viewer")],
)
def test_a_role_follows_from_a_claim_wherever_it_stands(claimed: object, role: str) -> None:
    person = RULES.person({"sub": "7", "email": "ada@example.com", "realm_access": {"roles": claimed}}, "https://id")
    assert person == Person(Actor("ada@example.com", Role(role)), "https://id 7")


@pytest.mark.parametrize("claims", [{}, {"realm_access": {"roles": ["other"]}}, {"realm_access": "ops"}])
def test_whom_the_claim_gives_no_role_stays_outside_unless_a_default_is_set(claims: dict[str, object]) -> None:
    with pytest.raises(LoginRefused, match=r"'ada' is known, and has no role here: .* 'ops', 'raters', 'staff'"):
        RULES.person({"sub": "7", "preferred_username": "ada"} | claims, "https://id")
    open_to_all = RoleRules(("email",), "realm_access.roles", ROLES, Role.VIEWER)
    assert open_to_all.person({"sub": "7"} | claims, "https://id").actor == Actor("7", Role.VIEWER)


def test_a_name_is_cut_and_printable() -> None:
    person = RULES.person({"sub": "7", "email": "a\n\x1b" + "b" * 500, "realm_access": {"roles": "ops"}}, "https://id")
    assert person.actor.name == "a" + "b" * 99


def test_a_holder_is_remembered_for_seconds_and_longer_while_the_database_is_away(
    credentials: InMemoryCredentials,
) -> None:
    seconds = 0.0
    remembered = RememberedCredentials(credentials, clock=lambda: seconds, now=lambda: MADE)
    made = credentials.create_token("d", "ci", Role.VIEWER, timedelta(days=1), by=Actor("ada", Role.OPERATOR))
    known = Holder(Actor("ci", Role.VIEWER), made.expires_at)
    assert [remembered.holder("d") for _ in range(3)] == [known] * 3
    assert credentials.asked == 1
    seconds, credentials.is_away = FRESH_SECONDS, True
    assert remembered.holder("d") == known
    with pytest.raises(Unavailable):
        remembered.holder("another")
    seconds = AWAY_SECONDS + 1
    with pytest.raises(Unavailable):
        remembered.holder("d")
    credentials.is_away = False
    credentials.revoke(1, by=Actor("ada", Role.OPERATOR))
    assert remembered.holder("d") is None


def test_a_secret_that_has_ended_opens_nothing_even_while_it_is_remembered(credentials: InMemoryCredentials) -> None:
    now = MADE
    remembered = RememberedCredentials(credentials, clock=lambda: 0.0, now=lambda: now)
    credentials.create_token("d", "ci", Role.VIEWER, timedelta(seconds=3), by=Actor("ada", Role.OPERATOR))
    assert remembered.holder("d") is not None
    now += timedelta(seconds=3)
    assert remembered.holder("d") is None


def test_a_token_of_the_settings_may_be_its_digest() -> None:
    tokens = {f"sha256:{digest_of(b'the-secret-of-ada')}": "operator"}
    app = create_app(InMemoryMonitor().ports(), health=Health(()), registry=CollectorRegistry(), tokens=tokens)
    client = TestClient(app)
    said = client.get("/api/v1/whoami", headers={"Authorization": "Bearer the-secret-of-ada"}).json()
    assert (said["role"], said["name"]) == ("operator", f"operator-{digest_of(b'the-secret-of-ada')[:8]}")
    for wrong in (next(iter(tokens)), next(iter(tokens)).removeprefix("sha256:")):
        assert client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401


def test_an_operator_makes_and_ends_tokens_that_the_api_takes(browser: TestClient) -> None:
    assert browser.get("/api/v1/tokens").status_code == 401
    session_of(browser, Role.OPERATOR)
    made = browser.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}, headers=CHANGE).json()
    assert browser.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}, headers=CHANGE).status_code == 409
    told = browser.get("/api/v1/tokens").json()
    assert [(one["name"], one["kind"]) for one in told] == [("ci", "token"), ("ada", "session")]
    assert made["token"] not in str(told)
    browser.cookies.clear()
    by_token = {"Authorization": f"Bearer {made['token']}"}
    who = browser.get("/api/v1/whoami", headers=by_token).json()
    assert (who["name"], who["role"], who["session"]) == ("ci", "viewer", False)
    assert browser.get("/api/v1/tokens", headers=by_token).status_code == 403
    session_of(browser, Role.OPERATOR)
    number = made["kept"]["credential_id"]
    assert browser.post(f"/api/v1/tokens/{number}/revoke", headers=CHANGE).status_code == 204
    assert browser.post("/api/v1/tokens/99/revoke", headers=CHANGE).status_code == 404


def test_another_page_cannot_use_a_session(browser: TestClient) -> None:
    session_of(browser, Role.OPERATOR)
    who = browser.get("/api/v1/whoami").json()
    assert (who["name"], who["role"], who["session"]) == ("ada", "operator", True)
    refused = browser.post("/api/v1/tokens", json={"name": "ci", "role": "operator"})
    assert (refused.status_code, "X-Requested-With" in refused.json()["detail"]) == (403, True)


def test_a_session_ends_when_its_person_logs_out(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OidcProvider, "logout_url", lambda _, back: f"https://id.example/end?back={back}")
    secret = session_of(browser, Role.VIEWER)
    answer = browser.post("/api/v1/logout", headers=CHANGE)
    assert answer.json() == {"go_on": f"https://id.example/end?back={HOME}/"}
    assert f'{COOKIE}=""; ' in answer.headers["set-cookie"]
    browser.cookies.set(COOKIE, secret)
    assert browser.get("/api/v1/whoami").status_code == 401


@pytest.mark.parametrize(
    ("after", "kept"),
    [("/alarms/3?x=1", "/alarms/3?x=1"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil", "/")],
)
def test_a_log_in_goes_on_to_a_page_of_this_server_alone(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch, after: str, kept: str
) -> None:
    begun: list[str] = []

    def begin(_: OidcProvider, path: str) -> tuple[str, PendingLogin]:
        begun.append(path)
        return "https://id.example/auth", PendingLogin("s", "n", "v", path)

    monkeypatch.setattr(OidcProvider, "begin", begin)
    answer = browser.get("/login", params={"after": after})
    assert (answer.status_code, answer.headers["location"], begun) == (302, "https://id.example/auth", [kept])
    assert all(
        word in answer.headers["set-cookie"] for word in ("__Host-monitor-login", "Secure", "HttpOnly", "SameSite=lax")
    )


def test_an_answer_without_its_beginning_is_refused_with_a_page(browser: TestClient) -> None:
    for cookie in ("", "bm90IGpzb24=", "e30="):
        browser.cookies.set("__Host-monitor-login", cookie)
        answer = browser.get("/login/callback", params={"code": "c", "state": "s"})
        assert (answer.status_code, "began in another browser" in answer.text) == (403, True)


def test_nobody_logs_in_where_no_provider_is_named() -> None:
    app = create_app(InMemoryMonitor().ports(), health=Health(()), registry=CollectorRegistry(), tokens={})
    assert TestClient(app).get("/login").status_code == 404


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tokens": {"sha256:12": "viewer"}}, "64 hexadecimal digits"),
        ({"host": "0.0.0.0"}, "set web.tokens, web.oidc or web.wants_login first"),
    ],
)
def test_settings_that_let_nobody_or_everybody_in_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        WebSettings.model_validate(settings)
    assert OidcSettings().issuer is None


HTTPS = {"issuer": "https://id.example/realms/main", "roles": {"ops": "operator"}}
PUBLIC = "https://monitor.example"


@pytest.mark.parametrize(
    ("oidc", "public_url", "refused"),
    [
        pytest.param({}, None, None, id="no log-in"),
        pytest.param(HTTPS, PUBLIC, None, id="a public client"),
        pytest.param(HTTPS | {"client_secret": "s", "client_id": "c"}, PUBLIC, None, id="a confidential client"),
        pytest.param(HTTPS | {"default_role": "viewer"}, PUBLIC, None, id="roles, and one for all others"),
        pytest.param({"issuer": "https://id.example", "default_role": "viewer"}, PUBLIC, None, id="one role for all"),
        pytest.param(HTTPS | {"role_claim": "realm_access.roles"}, PUBLIC, None, id="a claim within another"),
        pytest.param(HTTPS | {"scopes": ["openid"]}, PUBLIC, None, id="fewer scopes"),
        pytest.param(HTTPS | {"issuer": "http://127.0.0.1:9"}, "http://localhost:8080", None, id="on this machine"),
        pytest.param(HTTPS | {"ca_file": certifi.where()}, PUBLIC, None, id="an authority of one's own"),
        pytest.param(HTTPS | {"ca_file": "ca.pem"}, PUBLIC, "ca_file = 'ca.pem'", id="an authority that is not there"),
        pytest.param(HTTPS, None, "oidc wants public_url", id="nowhere to come back to"),
        pytest.param({"issuer": "https://id.example"}, PUBLIC, "nobody could come in", id="no role for anybody"),
        pytest.param({"roles": {"ops": "operator"}}, PUBLIC, "roles without issuer", id="roles and no provider"),
        pytest.param({"default_role": "viewer"}, PUBLIC, "default_role without issuer", id="a role and no provider"),
        pytest.param({"client_secret": "s"}, PUBLIC, "client_secret without issuer", id="a secret and no provider"),
        pytest.param(HTTPS | {"client_secret": ""}, PUBLIC, "client_secret is empty", id="an empty secret"),
        pytest.param(HTTPS | {"client_id": ""}, PUBLIC, "client_id", id="no client"),
        pytest.param(HTTPS | {"scopes": ["profile"]}, PUBLIC, "scopes lacks 'openid'", id="not OpenID Connect"),
        pytest.param(HTTPS | {"name_claims": []}, PUBLIC, "name_claims", id="no name"),
        pytest.param(HTTPS | {"roles": {"ops": "admin"}}, PUBLIC, "'viewer', 'annotator' or 'operator'", id="no role"),
        pytest.param(
            {"issuer": "https://id.example", "default_role": "viewer", "role_claim": "groups"},
            PUBLIC,
            "role_claim without roles",
            id="a claim that nobody reads",
        ),
        pytest.param(HTTPS | {"issuer": "id.example"}, PUBLIC, "issuer", id="a provider without its scheme"),
        pytest.param(HTTPS | {"issuer": "http://id.example"}, PUBLIC, "wants https", id="a provider in the clear"),
        pytest.param(
            HTTPS | {"issuer": "http://localhost:9", "ca_file": "ca.pem"},
            PUBLIC,
            "ca_file with an issuer of http",
            id="an authority of no certificate",
        ),
        pytest.param(HTTPS | {"session_hours": 0}, PUBLIC, "session_hours", id="a session without time"),
        pytest.param(HTTPS | {"secret": "s"}, PUBLIC, "secret", id="a misspelt setting"),
    ],
)
def test_log_ins_are_set_so_that_somebody_can_come_in_and_nothing_is_idle(
    oidc: dict[str, object], public_url: str | None, refused: str | None
) -> None:
    given = {"oidc": oidc, "public_url": public_url}
    if refused is None:
        assert (login_of(WebSettings.model_validate(given)) is not None) is bool(oidc)
        return
    with pytest.raises((ValueError, InvalidSetting), match=refused):  # a file is read where the way in is made
        login_of(WebSettings.model_validate(given))


def session_of(browser: TestClient, role: Role) -> str:
    """Log *browser* in as ada; return the session's secret."""
    app: object = browser.app
    kept: InMemoryCredentials = app.state.credentials  # type: ignore[attr-defined]
    secret = f"session-{role}-{len(kept.kept)}"
    until = datetime.now(UTC) - MADE + timedelta(hours=1)
    kept.open_session(digest_of(secret.encode()), Person(Actor("ada", role), "https://id 7"), until)
    browser.cookies.set(COOKIE, secret)
    return secret
