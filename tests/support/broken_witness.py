"""`python -m tests.support.broken_witness CLASS witness …`: the witness with a protection taken out, or a fault put in.

CLASS takes the place of the production class that it derives from, wherever the witness's modules name it. Nothing in
production code can do so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

from nser_sandbox import __main__ as program
from nser_sandbox.witness import command, state, witness


class DiesBeforeItAnswers(state.StateFolder):
    """A fault: the power goes when the state is on disk and the answer is not sent."""

    def keep(self, origin: str, note: str) -> None:
        super().keep(origin, note)
        os.kill(os.getpid(), signal.SIGKILL)


class AnswersBeforeItKeeps(state.StateFolder):
    """The state is written some time after the answer; here: never, since the process dies before."""

    def keep(self, origin: str, note: str) -> None:
        pass


class DecidesOutOfTurn(witness.Witness):
    """Two submissions of one log are decided side by side, each on the state that it found."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        for known in self._logs.values():
            known.turn = contextlib.nullcontext()  # type: ignore[assignment]


if __name__ == "__main__":
    stand_in = globals()[sys.argv.pop(1)]
    setattr(command, stand_in.__mro__[1].__name__, stand_in)
    sys.exit(program.main())
