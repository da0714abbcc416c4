"""Structured logs: structlog and the standard library's loggers through one handler."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from monitor.domain.text import for_log

WITHHELD = "<withheld>"
_TEXT_KEYS = frozenset(
    {"messages", "prompt", "response", "reference_response", "chosen", "rejected", "content", "text", "payload"}
)


def configure_logging(
    *,
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["json", "console"],
    stream: TextIO = sys.stderr,
) -> None:
    """Send all logs of the process to *stream*; call once, before the first thread starts.

    Values under the names that carry prompts and responses are withheld, and
    tracebacks are written without the values of local variables.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # plain: the richer formatters print local variables
        withhold_text,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers made at import must follow a later configuration
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(style, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "kafka", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def withhold_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what may be a prompt's or a response's text; a last resort, callers must not log it."""
    for key in _TEXT_KEYS & event.keys():
        event[key] = WITHHELD
    return event


def escape_for_people(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every value visible text; numbers stay as they are. JSON escapes by itself."""
    for key, value in event.items():
        if not isinstance(value, bool | int | float | None):
            event[key] = for_log(value if isinstance(value, str) else repr(value))
    return event


def _renderers(style: Literal["json", "console"], stream: TextIO) -> list[Processor]:
    if style == "json":
        return [structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )
    return [escape_for_people, console]
