"""A person comes in by a real provider, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from monitor.access.oidc import Client, OidcProvider
from monitor.access.person import RoleRules
from monitor.domain.order import Role
from monitor.web.routes.access import Login
from tests.ports import free_port
from tests.real_oidc import provider
from tests.served import served
from tests.unit.in_memory_credentials import InMemoryCredentials
from tests.unit.in_memory_ports import InMemoryMonitor

ROLES = {"monitor-operators": Role.OPERATOR, "monitor-annotators": Role.ANNOTATOR}


@pytest.fixture
def address(oidc: None) -> Iterator[str]:
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    with provider(f"{home}/login/callback") as issuer:
        client = Client(issuer, "rlhf-monitor", None, ("openid", "profile", "email"), f"{home}/login/callback")
        way = Login(OidcProvider(client, RoleRules(("email",), "groups", ROLES)), home, timedelta(hours=1))
        monitor = InMemoryMonitor(opened=InMemoryCredentials(datetime.now(UTC)))
        with served(monitor.ports(), login=way, port=port):
            yield home


def test_a_person_logs_in_from_the_page_they_wanted_and_out_again(page: Page, address: str) -> None:
    page.goto(f"{address}/?after=midnight")
    expect(page.get_by_role("dialog")).to_contain_text("Who are you?")
    log_in(page, "ada")
    page.wait_for_url(f"{address}/?after=midnight")
    expect(page.locator("#who")).to_have_text("ada@example.com (operator)")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/session/end**")
    page.goto(address)
    expect(page.get_by_role("dialog")).to_contain_text("Who are you?")


def test_whoever_has_no_role_is_told_so_and_annotators_go_to_their_page(page: Page, address: str) -> None:
    page.goto(address)
    log_in(page, "eve")
    expect(page.get_by_role("alert")).to_contain_text("'eve@example.com' is known, and has no role here")
    page.context.clear_cookies()
    page.get_by_role("link", name="use a token").click()
    log_in(page, "ann")
    page.wait_for_url(f"{address}/review")
    expect(page.locator("#who")).to_have_text("ann@example.com (annotator)")


def log_in(page: Page, account: str) -> None:
    page.get_by_role("link", name="Log in").click()
    page.get_by_placeholder("Enter any login").fill(account)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
