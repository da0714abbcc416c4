"""The command line: one file per group of commands."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from monitor.cli.root import app
from monitor.cli.server import hoisted
from monitor.cli.terminal import complain
from monitor.errors import (
    Conflict,
    InvalidInput,
    InvalidSetting,
    MissingCodec,
    NotFound,
    ReplacedLog,
    TooManyBadRecords,
    Unavailable,
)

FAILED, BAD_USAGE = 1, 2


def main() -> None:
    """Run a command; exit 0 when good, 1 when it failed, 2 on bad usage or settings."""
    if isinstance(sys.stdout, TextIOWrapper):  # a label may hold what the terminal's encoding does not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(hoisted(sys.argv[1:]))
    except (InvalidSetting, InvalidInput) as error:
        complain(f"rlhf-monitor: {error}")
        sys.exit(BAD_USAGE)
    except (Unavailable, Conflict, NotFound, TooManyBadRecords, MissingCodec, ReplacedLog) as error:
        complain(f"rlhf-monitor: {error}")
        sys.exit(FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILED)
