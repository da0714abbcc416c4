"""Answers that come after those to later requests."""

from __future__ import annotations

from playwright.sync_api import APIResponse, Page, Route


class Held:
    """The first answer to what *pattern* matches: made when it is asked for, and given when the test says so."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page = page
        self._taken: list[tuple[Route, APIResponse]] = []
        self._has_come = False
        page.evaluate("AbortSignal.timeout = () => new AbortController().signal")  # the page waits for it, however long
        page.route(pattern, self._take)

    def _take(self, route: Route) -> None:
        if self._has_come:
            return route.continue_()
        self._has_come = True
        self._taken.append((route, route.fetch()))
        return None

    @property
    def is_made(self) -> bool:
        return bool(self._taken)

    def wait(self) -> None:
        while not self._taken:
            self._page.wait_for_timeout(20)

    def give(self) -> None:
        self.wait()
        [(route, answer)] = self._taken
        with self._page.expect_response(answer.url):
            route.fulfill(response=answer)
