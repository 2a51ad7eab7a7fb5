"""Keys of a run: the sealed key ring, what replicas get of it, and two demo API keys. Made on the first start, 0600."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.cli.running.store import ENVIRONMENT, FirstKey
from lookup_core.kernel import apikey
from lookup_core.kernel.errors import CredentialsInvalid, SettingsRefused
from lookup_core.kernel.secret_file import write_secret

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing

OPERATOR: Final = "Demo Betting Ltd"
OPERATOR_SCOPES: Final = (
    "nser:read",
    "nser:write",
    "check:exclusion",
    "check:marketing",
    "bst:read",
    "bst:write",
)
ADMIN: Final = "GRAK (demo)"
ADMIN_SCOPES: Final = ("nser:admin",)


def ring_of(home: RunHome) -> KeyRing:
    """The home's key ring, made on the first start; writes what replicas get of it. Raises CommandFailed."""
    from lookup_core.kernel.keyring import KeyRing
    from lookup_core.kernel.providers.credential import Credential
    from lookup_core.kernel.ring_file import RingFile

    file = RingFile(home.keyring, Credential(home.credential))
    try:
        if not home.keyring.exists():
            if home.demo_env.exists():
                raise CommandFailed(
                    f"{home.keyring} is gone, and the data in {home.root} cannot be read without it.",
                    code=ExitCode.REFUSED,
                    attempt=f"put it back from a backup, or begin anew: rm -r {home.root}",
                )
            file.provider.prepare()
            file.create(KeyRing.create())
        ring = file.load()
    except SettingsRefused as refused:
        raise CommandFailed(
            " ".join(refused.problems),
            code=ExitCode.REFUSED,
            attempt=f"put {home.secrets} back from a backup, or begin anew: rm -r {home.root}",
        ) from None
    ring.replica_keys().save(home.replica_keys)
    return ring


def demo_keys(home: RunHome) -> tuple[dict[str, str], list[FirstKey]]:
    """What demo.env holds, made on the first start, and its two keys as the register takes them.

    NSER_ADMIN_KEY of the environment, where set, is the admin key.
    """
    held = home.demo()
    admin = os.environ.get("NSER_ADMIN_KEY") or held.get("NSER_ADMIN_KEY") or apikey.issue(ENVIRONMENT).secret
    operator = held.get("NSER_API_KEY") or apikey.issue(ENVIRONMENT).secret
    values = {**held, "NSER_API_KEY": operator, "NSER_ADMIN_KEY": admin}
    keys = [
        FirstKey(admin, ADMIN, ADMIN_SCOPES, requests_per_second=1_000_000, people_per_second=10_000_000),
        FirstKey(operator, OPERATOR, OPERATOR_SCOPES, requests_per_second=100, people_per_second=20_000),
    ]
    for key in keys:
        try:
            apikey.parse(key.text)
        except CredentialsInvalid:
            raise CommandFailed(
                "NSER_ADMIN_KEY or a key in demo.env is not of the form nser_<environment>_<id>_<secret>_<check>.",
                code=ExitCode.USAGE,
                attempt="unset NSER_ADMIN_KEY, then make run",
            ) from None
    text = (
        "# Demo credentials of this folder's system, made by `make run`. Use: set -a; . this file; set +a\n"
    )
    text += "".join(f"{name}={value}\n" for name, value in values.items())
    write_secret(home.demo_env, text.encode(), replace=True)
    return values, keys
