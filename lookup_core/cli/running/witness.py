"""The witness of a run: another party's server in the same home, so that checkpoints are cosigned from the start on.

A real witness runs on another party's machine, with a key that the register never sees; this one shows the workings and
proves nothing to anybody else. The register is told its address and its verifier key, as it would be of a real one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.embedded.home import private_folder
from lookup_core.kernel.notes import Signer

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing

NAME: Final = "witness.localhost/demo"


def verifier_key_of(home: RunHome) -> str:
    """The verifier key of the home's witness, which makes its key on the first start. Raises CommandFailed."""
    private_folder(home.witness)
    published = home.witness / "verifier-key"
    if (home.witness / "key").exists() and published.exists():
        return published.read_text().strip()
    making = ["witness-key", "--name", NAME, "--key-file", str(home.witness / "key")]
    made = subprocess.run(
        [sys.executable, "-m", "nser_sandbox", *making], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise CommandFailed(f"The witness has no key: {made.stderr.strip()}", code=ExitCode.FAULT)
    published.write_text(made.stdout)
    return made.stdout.strip()


def log_keys(ring: KeyRing, log: str) -> str:
    """The verifier keys of the audit log under every version of its signing key, as a witness is told them."""
    keys = ring.audit_signing
    return " ".join(Signer(log, keys.of(version)).verifier.text for version in sorted(keys.keys))


def own_settings(home: RunHome, told_log_keys: str, address: str) -> Mapping[str, str]:
    """What the witness's process is told: nothing of the register's but public keys."""
    return {
        "NSER_WITNESS_ADDRESS": address,
        "NSER_WITNESS_KEY_FILE": str(home.witness / "key"),
        "NSER_WITNESS_STATE_DIR": str(home.witness / "state"),
        "NSER_WITNESS_LOG_KEYS": told_log_keys,
    }
