"""What the commands say of a server that cannot be asked, is not to be trusted, or is another release."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor import __version__
from monitor.cli.http import MOST_WAIT_SECONDS, Api
from monitor.cli.server import Server, hoisted
from monitor.domain.job import Action, Job
from monitor.errors import Unavailable
from tests.certificates import Authority
from tests.commands import Run
from tests.ports import free_port
from tests.served import served
from tests.unit.in_memory_ports import InMemoryMonitor

FAILED, BAD_USAGE = 1, 2


@contextmanager
def monitor(version: str | None, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that knows everybody and has no alarm; it says it is of *version*."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            who = {"name": "ada", "role": "viewer"} | ({} if version is None else {"version": version})
            body = json.dumps(who if self.path.endswith("/whoami") else []).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("version", ["9.9.0", None])
def test_another_release_is_named_and_nothing_is_guessed(run: Run, version: str | None) -> None:
    with monitor(version) as url:
        done = run("alarms", "list", "--server", url)
    assert (done.code, done.out) == (BAD_USAGE, "")
    assert done.err.startswith(f"rlhf-monitor: {url}: it is rlhf-monitor ")
    assert f"this is {__version__}" in done.err


def test_a_certificate_is_verified_and_its_authority_is_named_by_an_option(run: Run, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine = authority.issue("monitor", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mine.certfile, mine.keyfile)
    with monitor(__version__, context) as url:
        refused = run("alarms", "list", "--server", url)
        assert refused.code == BAD_USAGE
        assert f"{url}: cannot be asked (GET /api/v1/whoami)" in refused.err
        assert "--ca FILE" in refused.err
        done = run("alarms", "list", "--server", url, "--ca", authority.cafile)
        assert (done.code, done.out, done.err) == (0, "no alarm\n", "")
        other = run("alarms", "list", SERVER=url, CA=str(tmp_path / "none.pem"))
        assert (other.code, "No such file" in other.err) == (BAD_USAGE, True)


def test_a_server_that_is_away_is_named_with_what_was_wanted_of_it(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run("jobs", "list", "--server", url, TOKEN="a-secret-of-mine")
    assert done.code == FAILED
    assert done.err.startswith(f"rlhf-monitor: {url}: cannot be asked (GET /api/v1/whoami): ")
    assert "a-secret-of-mine" not in done.err


@pytest.mark.parametrize(
    "words",
    ["--server monitor.example", "--server ftp://x", "--server https://u:p@x", "--token-file none --server http://x"],
)
def test_a_server_that_is_none_is_refused_before_anything_is_sent(run: Run, words: str) -> None:
    done = run("alarms", "list", *words.split())
    assert (done.code, done.out) == (BAD_USAGE, "")


def test_the_options_of_a_server_may_stand_anywhere_before_two_dashes() -> None:
    assert hoisted(["jobs", "list", "--server", "u", "--json"]) == ["--server", "u", "jobs", "list", "--json"]
    assert hoisted(["jobs", "--ca=x", "list"]) == ["--ca=x", "jobs", "list"]
    assert hoisted(["alarms", "show", "--", "--server"]) == ["alarms", "show", "--", "--server"]
    assert hoisted(["jobs", "--server"]) == ["--server", "jobs"]


START = {"action": "reward_refresh", "reason": "refusals rose"}


@dataclass
class SlowMonitor(InMemoryMonitor):
    """A monitor that starts a job once it is let."""

    let: threading.Event = field(default_factory=threading.Event)

    def start_job(self, action: Action, reason: str, **how: Any) -> Job:
        assert self.let.wait(60)
        return super().start_job(action, reason, **how)


def test_a_change_whose_first_sending_goes_on_is_waited_for_and_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = SlowMonitor()
    with served(monitor.ports()) as url, httpx.Client(timeout=httpx.Timeout(30, read=0.5)) as client:
        told = Api(Server(url, None, None), client, sleep=lambda _seconds: monitor.let.set()).post("/jobs", START)
    assert told["job"]["reason"] == START["reason"]
    assert (len(monitor.kept), len(monitor.keys.taken)) == (1, 1)
    assert "an earlier sending of this goes on there" in capsys.readouterr().err


def test_a_change_that_goes_on_for_ever_is_left_with_a_word_on_what_may_have_happened() -> None:
    monitor, slept = SlowMonitor(), [0.0]
    with served(monitor.ports()) as url, httpx.Client(timeout=httpx.Timeout(30, read=0.5)) as client:
        api = Api(Server(url, None, None), client, sleep=lambda wait: slept.append(wait + 9), clock=lambda: sum(slept))
        try:
            with pytest.raises(Unavailable) as refused:
                api.post("/jobs", START)
        finally:
            monitor.let.set()
    assert f"{MOST_WAIT_SECONDS:.0f} seconds long: the change may have been made" in str(refused.value)
    assert sum(slept) <= MOST_WAIT_SECONDS + 10
