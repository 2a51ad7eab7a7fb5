"""Where something was raised, without what it said: an exception's text can hold what a person sent."""

import traceback
from types import TracebackType
from typing import Final

_INNERMOST: Final = 8


def places(raised: TracebackType | None) -> list[str]:
    """The innermost places of a traceback as `file:line function`: no values, no message."""
    frames = traceback.extract_tb(raised)[-_INNERMOST:]
    return [
        f"{frame.filename.rpartition('/lookup_core/')[2]}:{frame.lineno} {frame.name}" for frame in frames
    ]
