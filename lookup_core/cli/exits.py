"""Exit codes of `nser`, and the one exception that ends a command with one of them.

    0   done; of `check`: may play; of `status`: all is well
    1   a fault of ours
    2   the command or something in it is written wrongly; nothing was done
    3   a server, the database or a process of the system cannot be reached now
    4   the register refused, and says why
    5   the key is missing, not valid, or may not do this
    10  `check`: excluded; must not play
    11  `check`: the register cannot tell now; must not play
    12  `audit verify`: the log is not what was signed
    130 stopped by Ctrl-C

A script that lets people play on exit code 0 alone is right: every failure is another number.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAULT = 1
    USAGE = 2
    UNAVAILABLE = 3
    REFUSED = 4
    NOT_PERMITTED = 5
    EXCLUDED = 10
    INDETERMINATE = 11
    NOT_PROVED = 12


class CommandFailed(Exception):
    """Ends a command: one sentence that says what is wrong, a command to try, and the exit code."""

    def __init__(self, message: str, *, code: ExitCode, attempt: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.attempt = attempt
        self.reason = reason or code.name
