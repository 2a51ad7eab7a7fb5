"""Logs: one JSON object a line on standard output; static event names, ids, and never personal data.

Three guards stand behind the rule that callers log ids only: `Pii` (whose text form is `[pii]`), a scrubber
over keys and values, and exceptions that are logged as type and place. The scrubber is a net for slips, not a
licence: it finds phones, tokens, keys, e-mail addresses and long numbers by their form, and a name it cannot
know.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

from lookup_core.domain.errors import Refused
from lookup_core.kernel.traces import places

PII: Final = "[pii]"
SECRET: Final = "[secret]"  # noqa: S105

_PII_KEYS: Final = frozenset(
    {
        "phone",
        "phones",
        "msisdn",
        "id_number",
        "document",
        "documents",
        "date_of_birth",
        "first_name",
        "last_name",
    }
    | {"email", "support_person", "verification_receipt", "bst", "token", "blind", "identity"}
)
_SECRET_KEYS: Final = frozenset(
    {
        "authorization",
        "api_key",
        "secret",
        "password",
        "pepper",
        "salt",
        "keyring",
        "database_url",
        "redis_url",
    }
)
_OURS: Final = frozenset({"timestamp", "level", "logger", "process"})
_LONGEST: Final = 1_000  # characters of one value: bounds the work of the patterns, and the line
# In this order: a key contains what the later forms would find.
_FORMS: Final = (
    (re.compile(r"nser_[a-z]{2,8}_[a-z2-7]+_[a-z2-7]+(?:_[0-9a-f]*)?"), SECRET),
    (re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]*(?=@)"), SECRET),
    (re.compile(r"(?i)\bBST-\d\d-[0-9a-f]{32}-[0-9a-f]{4}\b"), PII),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), PII),
    # Six digits and more that are not a part of an id, an address or a number with a point.
    (re.compile(r"(?<!\w)(?<!\w[.-])\+?\d[\d ()-]{4,}\d(?!\w|[.-]\w)"), PII),
)


class Pii:
    """A value that must not be read in a log or a traceback; `reveal()` gives it, on purpose."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the value, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return PII

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return PII


def scrub(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what may be personal or secret in a log event, at any depth (a structlog processor)."""
    return {key: value if key in _OURS else _scrubbed(key, value) for key, value in event.items()}


def _scrubbed(key: str, value: object) -> object:
    if key.lower() in _SECRET_KEYS:
        return SECRET
    if key.lower() in _PII_KEYS:
        return PII
    if isinstance(value, Mapping):
        return {str(k): _scrubbed(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed("", each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return "[bytes]"
    text = (value if isinstance(value, str) else repr(value))[:_LONGEST]
    for form, shown in _FORMS:
        text = form.sub(shown, text)
    return text


def describe_exception(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Turn `exc_info` into type and places, because an exception's text can hold what a person sent.

    A refusal adds reason and field, an OSError what its number means, PostgreSQL's its SQLSTATE.
    """
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()[1]
    if isinstance(raised, tuple):
        raised = raised[1]
    if not isinstance(raised, BaseException):
        return event
    event["error"] = raised.log_safe if isinstance(raised, Refused) else type(raised).__qualname__
    event["where"] = places(raised.__traceback__)
    if isinstance(raised, OSError) and raised.strerror:
        event["os_error"] = raised.strerror
    if isinstance(state := getattr(raised, "sqlstate", None), str):
        event["sqlstate"] = state
    return event


def configure(process: str, level: str = "INFO") -> None:
    """Send every log line of this process, those of libraries too, through the guards to standard output."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(process),
        describe_exception,
        scrub,
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


def _named(process: str) -> Any:
    def add(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add
