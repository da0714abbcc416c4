"""This machine: the packages that the settings ask for, the space on its disk, and who may come in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from monitor.app.requirements import require_extras
from monitor.domain.checkup import Finding, fail, ok, warn
from monitor.errors import InvalidSetting
from monitor.settings.retrain import RetrainSettings
from monitor.settings.root import Settings
from monitor.settings.web import MIN_TOKEN_CHARACTERS, WebSettings
from monitor.web.auth import HASHED

GIB = 1 << 30
FEW_BYTES, TOO_FEW_BYTES = 20 * GIB, 2 * GIB  # free, where runs and candidates are kept
LEAST_DISTINCT = 8  # characters of a token: fewer are a word or a row of keys
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_extras(settings: Settings) -> Iterator[Finding]:
    try:
        require_extras(settings)
    except InvalidSetting as error:
        yield fail("packages", str(error), "install it, or set what asks for it otherwise")
    else:
        yield ok("packages", "all that the settings ask for are installed, and their files can be read")


def check_tokens(web: WebSettings) -> Iterator[Finding]:
    """Tell of weak tokens by their role and number; of none by a letter of it."""
    plain = {token: role for token, role in web.tokens.items() if not token.startswith(HASHED)}
    if not web.tokens:
        if web.host in LOOPBACK:
            yield ok("tokens", f"none in the settings; {web.host} is reached from this machine alone")
        else:
            yield ok("tokens", "none in the settings: people log in, or tokens were made by `tokens create`")
        return
    weak = [
        f"number {number} ({role})"
        for number, (token, role) in enumerate(plain.items(), start=1)
        if len(token) < MIN_TOKEN_CHARACTERS or len(set(token)) < LEAST_DISTINCT
    ]
    advice = "make others: `openssl rand -hex 16`, or `rlhf-monitor tokens create`"
    if weak:
        yield warn("tokens", f"easy to guess: {', '.join(weak)} of web.tokens", advice)
    else:
        yield ok("tokens", f"{len(web.tokens)} in the settings, none of them short")
    if plain and web.host not in LOOPBACK:
        advice = f"keep {HASHED}DIGEST there instead, or make them by `rlhf-monitor tokens create`"
        yield warn("tokens at rest", f"{len(plain)} stand in the settings as they are", advice)


def check_disk(retrain: RetrainSettings) -> Iterator[Finding]:
    folder = retrain.folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    about = f"folder {retrain.folder}"
    if not os.access(there, os.W_OK | os.X_OK):
        yield fail(about, f"{there} cannot be written to", "let this user write there, or set retrain.folder")
        return
    free = shutil.disk_usage(there).free
    told = f"{free / GIB:.1f} GiB free"
    if free < TOO_FEW_BYTES:
        yield fail(about, told, "make room: a run keeps a candidate and its checkpoints there")
    elif free < FEW_BYTES:
        yield warn(about, told, "make room: a run keeps a candidate and its checkpoints there")
    else:
        yield ok(about, told)


def readable(path: Path) -> str | None:
    """Return why *path* cannot be read; None where it can."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            with path.open("rb") as file:
                file.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return None
