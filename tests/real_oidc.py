"""A certified OpenID Connect provider, run for the tests by Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import Unavailable
from tests.ports import free_port
from tests.real_kafka import ROOT
from tests.turns import one_at_a_time

SOURCE = ROOT / "tests" / "oidc"
BUILT = ROOT / ".oidc"  # git-ignored; CI puts a Node of its own into it where the system has none
START_SECONDS = 60.0
FILES = ("provider.mjs", "package.json", "package-lock.json")


def build_provider() -> Path:
    """Return the folder of the provider with all it needs; raise `Unavailable` where that cannot be had."""
    BUILT.mkdir(exist_ok=True)
    with one_at_a_time(BUILT / "lock"):
        locked, told = (SOURCE / "package-lock.json").read_text(), BUILT / "built"
        for name in FILES:
            shutil.copy(SOURCE / name, BUILT / name)
        if not told.exists() or told.read_text() != locked:
            _run_npm()
            told.write_text(locked)
    return BUILT


def _run_npm() -> None:
    npm = shutil.which("npm", path=_environment()["PATH"])
    if npm is None:
        raise Unavailable("npm is missing: install Node.js")
    command = [npm, "ci", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=BUILT, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"npm ci failed: {done.stderr.strip()[-500:]}")


@contextmanager
def provider(redirect_uri: str, *, secret: str = "", port: int | None = None) -> Iterator[str]:
    """Run a provider whose client goes back to *redirect_uri*; yield its issuer."""
    port = port or free_port()
    node = shutil.which("node", path=_environment()["PATH"]) or "node"
    command = [node, "provider.mjs", str(port), redirect_uri, secret]
    process = subprocess.Popen(command, cwd=build_provider(), env=_environment(), stdout=subprocess.DEVNULL)
    issuer = f"http://127.0.0.1:{port}"
    try:
        _await(f"{issuer}/.well-known/openid-configuration", process)
        yield issuer
    finally:
        process.terminate()
        process.wait(10)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{BUILT / 'node' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
