"""Which monitor is asked over HTTP, and as whom; where none is, commands work on the database itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from monitor.errors import InvalidInput, InvalidSetting
from monitor.settings.load import CA_VARIABLE, SERVER_VARIABLE, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE

OPTIONS = frozenset({"--server", "--token-file", "--ca"})


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to ask; nothing of the token is ever shown."""

    url: str
    token: str | None
    ca: Path | None
    by_option: bool = False  # named on the command line, not by a variable


_chosen: list[Server] = []  # of this run of the program


def choose(url: str | None, token_file: Path | None, ca: Path | None) -> None:
    """Take the server from the options, or from the environment; called once, before any command."""
    _chosen.clear()
    named = url or os.environ.get(SERVER_VARIABLE) or None
    if named is None:
        return
    _require_url(named)
    file = token_file or _path(os.environ.get(TOKEN_FILE_VARIABLE))
    token = os.environ.get(TOKEN_VARIABLE) or None if file is None else _read(file, "token")
    _chosen.append(Server(named.rstrip("/"), token, ca or _path(os.environ.get(CA_VARIABLE)), url is not None))


def hoisted(words: Sequence[str]) -> list[str]:
    """Return *words* with the options that choose a server before all others: people write them anywhere."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            rest += [word, *left]
        elif word in OPTIONS:
            first += [word, *islice(left, 1)]
        else:
            (first if word.partition("=")[0] in OPTIONS else rest).append(word)
    return first + rest


def chosen() -> Server | None:
    """Return the server that this run asks; None where it works on the database itself."""
    return _chosen[0] if _chosen else None


def refuse_remote(what: str) -> None:
    """Raise `InvalidInput` where a server was chosen, and *what* cannot be had from one."""
    server = chosen()
    if server is not None:
        raise InvalidInput(
            f"{what}, which {server.url} does not hand out: run this where the daemon's settings are,"
            f" without --server and {SERVER_VARIABLE}"
        )


def _require_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidSetting(f"--server {url!r}: wanted https://HOST[:PORT], where the console is")


def _path(given: str | None) -> Path | None:
    return Path(given) if given else None


def _read(file: Path, what: str) -> str:
    try:
        found = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it holds more than ASCII"
        raise InvalidSetting(f"--token-file {file}: {told}; wanted a file that holds the {what} alone") from None
    if not found:
        raise InvalidSetting(f"--token-file {file}: it is empty; wanted a file that holds the {what} alone")
    return found
