"""A real browser and a page in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from monitor.web.app import Ports
from tests.served import served
from tests.unit.in_memory_ports import InMemoryMonitor

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists() and shutil.which("chromium") is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium at /usr/bin/chromium; apt-get install chromium")
    expect.set_options(timeout=30_000)  # of a machine that is busy with other tests
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which any script error or refused script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def tokens() -> dict[str, str]:
    """No token is wanted; a test's own parameter of this name wants some."""
    return {}


@pytest.fixture
def ports(monitor: InMemoryMonitor) -> Ports:
    """What is served: the module's own *monitor*."""
    return monitor.ports()


@pytest.fixture
def address(ports: Ports, tokens: dict[str, str]) -> Iterator[str]:
    """Where the console is served."""
    with served(ports, tokens=tokens) as address:
        yield address


def is_complaint(message: ConsoleMessage) -> bool:
    # Chromium reports every answer of 400 and above; those the tests provoke are no fault of the page.
    return message.type == "error" and "Failed to load resource" not in message.text
