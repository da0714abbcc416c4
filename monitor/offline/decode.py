"""Traces as lines of the native JSON form."""

from __future__ import annotations

import json

from monitor.domain.trace import Trace
from monitor.ingest.formats.native import native_form


def native_line(trace: Trace) -> str:
    """Return *trace* as one line that the native format reads as the same trace; only ASCII, and no control character.

    Tokens that were counted here and not reported are left out: whoever reads it counts anew.
    """
    return json.dumps(native_form(trace)).replace("\x7f", "\\u007f")
