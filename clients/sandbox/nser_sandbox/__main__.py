"""`python -m nser_sandbox SERVER`: run one party's server. `python -m nser_sandbox --help` names them.

Exit code 0 after SIGTERM, 2 when what it was told is refused.
"""

from __future__ import annotations

import argparse
import sys

from nser_sandbox.refusal import SetupRefused
from nser_sandbox.witness import command as witness

REFUSED = 2


def main() -> int:
    """Run what the arguments name and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m nser_sandbox", description="Servers of outside parties.")
    witness.add_to(parser.add_subparsers(required=True, metavar="SERVER"))
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except SetupRefused as refused:
        print(refused, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
