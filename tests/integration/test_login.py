"""Logging in at a certified provider of OpenID Connect, with the sessions in PostgreSQL."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import Engine, text

from monitor.access.credential import digest_of
from monitor.app.access import login_of
from monitor.app.ports import ports_of
from monitor.postgres.engine import create_engine_for
from monitor.settings.root import Settings
from tests.commands import Run
from tests.ports import free_port
from tests.real_oidc import provider
from tests.served import served

pytestmark = pytest.mark.postgres

CHANGE = {"X-Requested-With": "rlhf-monitor"}
SECRET = "secret of the client, with a % and a :"
ROLES = {"monitor-operators": "operator", "monitor-viewers": "viewer", "monitor-annotators": "annotator"}


@dataclass(frozen=True)
class Site:
    """A console, and the provider that it sends people to."""

    home: str
    engine: Engine
    settings: Settings

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.home, follow_redirects=False, timeout=30)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture(params=["", SECRET], ids=["public client", "confidential client"])
def site(request: pytest.FixtureRequest, oidc: None, postgres_url: str) -> Iterator[Site]:
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    with provider(f"{home}/login/callback", secret=request.param) as issuer:
        way = {"issuer": issuer, "roles": ROLES, "client_secret": request.param or None}
        settings = Settings(web={"port": port, "public_url": home, "oidc": way}, postgres={"url": postgres_url})
        engine = create_engine_for(postgres_url)
        with served(ports_of(engine, settings), login=login_of(settings.web), port=port):
            yield Site(home, engine, settings)
        engine.dispose()


def answered(browser: httpx.Client, account: str, *, after: str = "/") -> httpx.Response:
    """Log *account* in at the provider; return its last redirect, which nobody has followed yet."""
    begun = browser.get("/login", params={"after": after})
    answer = browser.get(begun.headers["location"])
    while True:
        if answer.is_redirect:
            place = httpx.URL(str(answer.url)).join(answer.headers["location"])
            if place.path == "/login/callback":
                return answer
            answer = browser.get(place)
            continue
        action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        assert action is not None, answer.text
        assert prompt is not None, answer.text
        form = {"prompt": prompt[1], "login": account, "password": "any"}
        answer = browser.post(httpx.URL(str(answer.url)).join(action[1]), data=form)


def log_in(browser: httpx.Client, account: str, *, after: str = "/") -> httpx.Response:
    return browser.get(answered(browser, account, after=after).headers["location"])


def test_a_person_logs_in_is_named_in_the_audit_and_logs_out(site: Site) -> None:
    with site.browser() as browser:
        assert browser.get("/api/v1/whoami").status_code == 401
        done = log_in(browser, "ada", after="/alarms/3")
        assert (done.status_code, done.headers["location"]) == (302, "/alarms/3")
        cookie = done.headers.get_list("set-cookie")[-1]
        assert re.search(r"^monitor-session=\S{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax$", cookie)
        who = browser.get("/api/v1/whoami").json()
        assert (who["name"], who["role"], who["session"]) == ("ada@example.com", "operator", True)
        made = browser.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}, headers=CHANGE)
        assert made.status_code == 200
        session = browser.cookies["monitor-session"]
        gone = browser.post("/api/v1/logout", headers=CHANGE).json()["go_on"]
        assert urlsplit(gone).path == "/session/end"
        browser.cookies.set("monitor-session", session)
        assert browser.get("/api/v1/whoami").status_code == 401
    told = site.rows("select actor, role, action from audit order by audit_id")
    assert told == [("ada@example.com", "operator", action) for action in ("login", "token.create", "logout")]
    [(subject, digest)] = site.rows("select subject, digest from credential where kind = 'session'")
    assert (str(subject).endswith(" ada"), digest) == (True, digest_of(session.encode()))


def test_a_role_follows_from_the_groups_and_whoever_has_none_stays_outside(site: Site) -> None:
    for account, role in (("vic", "viewer"), ("ann", "annotator")):
        with site.browser() as browser:
            log_in(browser, account)
            assert browser.get("/api/v1/whoami").json()["role"] == role
    with site.browser() as browser:
        refused = log_in(browser, "eve")
        assert (refused.status_code, "no role here" in refused.text) == (403, True)
        assert "monitor-session" not in browser.cookies


def test_an_answer_opens_one_session_and_in_its_own_browser_alone(site: Site) -> None:
    with site.browser() as browser, site.browser() as thief:
        back = answered(browser, "ada").headers["location"]
        stolen = thief.get(back)
        assert (stolen.status_code, "another browser" in stolen.text) == (403, True)
        thief.get("/login")
        assert "belongs to another log-in" in thief.get(back).text
        pending = browser.cookies["monitor-login"]
        assert browser.get(back).status_code == 302
        browser.cookies.set("monitor-login", pending)
        again = browser.get(back)
        assert (again.status_code, "did not take the code" in again.text) == (403, True)


def test_a_token_made_for_another_log_in_is_not_believed(site: Site) -> None:
    with site.browser() as browser:
        back = answered(browser, "ada").headers["location"]
        kept = json.loads(urlsafe_b64decode(browser.cookies["monitor-login"]))
        forged = urlsafe_b64encode(json.dumps(kept | {"nonce": "mine"}).encode()).decode()
        browser.cookies.delete("monitor-login")
        browser.cookies.set("monitor-login", forged)
        refused = browser.get(back)
        assert (refused.status_code, "not to be believed" in refused.text) == (403, True)
        elsewhere = parse_qs(urlsplit(back).query) | {"iss": ["https://evil.example"]}
        browser.cookies.set("monitor-login", urlsafe_b64encode(json.dumps(kept).encode()).decode())
        assert "another provider" in browser.get("/login/callback", params=elsewhere).text


def test_a_command_makes_lists_and_ends_what_opens_the_api(site: Site, run: Run, postgres_url: str) -> None:
    made = run("tokens", "create", "--name", "ci", "--role", "viewer", "--days", 1, POSTGRES__URL=postgres_url)
    by_token = {"Authorization": f"Bearer {made.out.strip()}"}
    with site.browser() as browser:
        assert browser.get("/api/v1/whoami", headers=by_token).json()["name"] == "ci"
        assert run("tokens", "create", "--name", "ci", "--role", "viewer").code == 1
        assert run("tokens", "create", "--name", "\x1b", "--role", "viewer").code == 2
        log_in(browser, "vic")
        listed = json.loads(run("tokens", "list", "--json").out)
        assert [(one["name"], one["kind"]) for one in listed] == [("vic@example.com", "session"), ("ci", "token")]
        assert "ci" in run("tokens", "list").out
        for one in listed:
            assert run("tokens", "revoke", one["credential_id"]).code == 0
        assert run("tokens", "revoke", listed[0]["credential_id"]).code == 1
        assert run("tokens", "list").out == "no token was made here, and nobody is logged in\n"
    assert site.rows("select count(*) from credential where revoked_at is null") == [(0,)]


def test_a_provider_that_is_away_is_said_to_be(oidc: None, postgres_url: str) -> None:
    home = "http://127.0.0.1:1"
    way = {"issuer": f"http://127.0.0.1:{free_port()}", "roles": ROLES}
    settings = Settings(web={"public_url": home, "oidc": way})
    engine = create_engine_for(postgres_url)
    with served(ports_of(engine, settings), login=login_of(settings.web)) as address:
        answer = httpx.get(f"{address}/login")
    engine.dispose()
    assert (answer.status_code, "the provider of log-ins" in answer.text) == (503, True)
