"""Correlation ids: the caller's own where it is one, else a new one. A phone in its place goes no further."""

import re
from typing import Final

from lookup_core.kernel.ids import new_id

_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{6}")


def correlation_id_from(sent: str | None) -> str:
    """Give what was sent when it has the form of an id and holds no long number, else a new id."""
    if sent is None or _FORM.fullmatch(sent) is None:
        return str(new_id())
    is_safe = _UUID.fullmatch(sent) is not None or _NUMBER.search(sent) is None
    return sent if is_safe else str(new_id())
