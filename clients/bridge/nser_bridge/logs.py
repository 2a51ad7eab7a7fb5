"""Logs: one JSON object a line on standard output. Static event names and ids; what a caller sent is never logged.

Exceptions are logged by type and place, because their text can hold a phone. Library loggers keep warnings only.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_INNERMOST: Final = 8
Event = MutableMapping[str, Any]


def places(error: BaseException) -> list[str]:
    """Return where an exception was raised, innermost last, without values and without its message."""
    frames = traceback.extract_tb(error.__traceback__)[-_INNERMOST:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]


def _without_exception_text(_logger: object, _method: str, event: Event) -> Event:
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()[1]
    if isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        event["error"] = type(raised).__qualname__
        event["where"] = places(raised)
    return event


def _named(_logger: object, _method: str, event: Event) -> Event:
    event["process"] = "bridge"
    return event


def configure(level: str) -> None:
    """Send this process's log lines, those of libraries too, to standard output."""
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named,
        _without_exception_text,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelName(level), logging.WARNING))
