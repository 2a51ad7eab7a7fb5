"""The replica's certificate, its key and the callers' authority: read at the start, and again when their files change.

A renewed certificate counts for the connections that come after it; open ones keep theirs until they are of age. New
files that cannot be used change nothing: what was in force stays, one line is logged and one failure counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import structlog
from cryptography import x509

from lookup_core._dataplane import Tls, TlsRefused
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.settings import ReplicaSettings, variable_of

log = structlog.get_logger()

LOOK_S: Final = 10.0
SETTINGS: Final = {"chain": "tls_chain_file", "key": "tls_key_file", "callers": "tls_callers_file"}
WANTED: Final = {
    "chain": "Name a PEM file with the server's certificate, then those of its issuers, none of them over.",
    "key": "Name the PEM file of the key that belongs to the first certificate of NSER_REPLICA_TLS_CHAIN_FILE.",
    "callers": "Name the PEM file of the authority whose certificates callers show.",
}


Texts = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Fault:
    """Which of the files cannot be used, and why."""

    part: str
    why: str


class TlsFiles:
    """The files that TLS is set up with, and what of them is in force."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        """Read them. Raises SettingsRefused with the setting, the file and the fix."""
        self.renewals = 0
        self.failures = 0
        self._files = files
        self._tls: Tls | None = None
        self._not_after = datetime.min.replace(tzinfo=UTC)
        self._tried = self._read()
        if fault := self._take(self._tried):
            variable = variable_of(ReplicaSettings, SETTINGS[fault.part])
            raise SettingsRefused(
                f"{variable}: {files[fault.part]} cannot be used: {fault.why}. {WANTED[fault.part]}"
            )

    @classmethod
    def of(cls, settings: ReplicaSettings) -> Self | None:
        """Those that the settings name; None when the port speaks plaintext. Raises SettingsRefused."""
        named = {part: getattr(settings, name) for part, name in SETTINGS.items()}
        files = {part: file for part, file in named.items() if file is not None}
        return cls(files) if files else None

    @property
    def tls(self) -> Tls:
        """For the data plane: it takes what is renewed by itself."""
        assert self._tls is not None, "what cannot be used is refused at the start"
        return self._tls

    @property
    def not_after(self) -> float:
        """When the first certificate of the chain in force ends, in seconds since 1970."""
        return self._not_after.timestamp()

    async def follow(self) -> None:
        """Look again and again whether the files have changed."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Take what the files hold now, if it is new and can be used."""
        read = await asyncio.to_thread(self._read)
        if read == self._tried:
            return  # in force, or said already
        self._tried = read
        fault = self._take(read)
        until = self._not_after.isoformat()
        if fault is None:
            self.renewals += 1
            log.info("tls.renewed", not_after=until)
        else:
            self.failures += 1
            file = str(self._files[fault.part])
            log.error("tls.not_renewed", file=file, cause=fault.why, in_force_until=until)

    def _read(self) -> Texts | Fault:
        """What the files hold, by the names of Tls."""
        held = {}
        for part, file in self._files.items():
            try:
                held[part] = file.read_bytes()
            except OSError as error:
                return Fault(part, f"it cannot be read ({error.strerror or error})")
        return held

    def _take(self, read: Texts | Fault) -> Fault | None:
        """Put it in force, or give what of it cannot be used and change nothing."""
        if isinstance(read, Fault):
            return read
        ends = _not_after(read["chain"])
        if isinstance(ends, Fault):
            return ends
        try:
            if self._tls is None:
                self._tls = Tls(**read)
            else:
                self._tls.renew(**read)
        except TlsRefused as refused:
            return Fault(*refused.args)
        self._not_after = ends
        return None


def _not_after(chain: bytes) -> datetime | Fault:
    """When the first certificate of a chain ends; a fault when it is none, or over."""
    try:
        ends = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(chain))
    except ValueError:
        return Fault("chain", "it holds no certificate in PEM")
    if ends <= datetime.now(UTC):
        return Fault("chain", f"a certificate in it ended at {ends.isoformat()}")
    return ends
