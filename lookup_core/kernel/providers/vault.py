"""A key management service: HashiCorp Vault's transit engine, or OpenBao's, over its HTTP API (v1).

The wrapping key stays in the service. Refuses plain HTTP to another machine, redirects, and to go on without the
service: no copy of what it gave is kept on a disk.
"""

import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.providers.port import Wrapped
from lookup_core.kernel.secret_file import read_secret

ADDRESS: Final = "NSER_VAULT_ADDRESS"
TOKEN: Final = "NSER_VAULT_TOKEN_FILE"  # noqa: S105 - the name of a variable
KEY: Final = "NSER_VAULT_KEY"
ROOTS: Final = "NSER_VAULT_TLS_ROOTS_FILE"
TIMEOUT_S: Final = 5.0
LARGEST: Final = 64 * 1024
_TOKEN_MADE_BY: Final = "Write a token into it that may encrypt and decrypt with the key, and nothing else."  # noqa: S105


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """The token is for the one server that was named."""


@dataclass(frozen=True, slots=True)
class VaultTransit:
    """Wraps by the key `mount`/`key` of the service at `address`."""

    address: str
    mount: str
    key: str
    token_file: Path
    roots_file: Path | None = None
    name: str = "vault"

    def prepare(self) -> str:
        self._ask("GET", "keys")
        return ""

    def wrap(self, key: bytes, place: bytes) -> Wrapped:
        answer = self._ask("POST", "encrypt", plaintext=_text(key), associated_data=_text(place))
        try:
            return Wrapped({"mount": self.mount, "key": self.key}, str(answer["data"]["ciphertext"]).encode())
        except (KeyError, TypeError):
            raise self._unfit() from None

    def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        ciphertext = wrapped.wrapped.decode("ascii", "replace")
        answer = self._ask("POST", "decrypt", ciphertext=ciphertext, associated_data=_text(place))
        try:
            return b64decode(answer["data"]["plaintext"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise self._unfit() from None

    def _ask(self, method: str, act: str, **body: str) -> dict[str, Any]:
        url = f"{self.address.rstrip('/')}/v1/{quote(self.mount)}/{act}/{quote(self.key, safe='')}"
        self._refuse_plain_http()
        token = read_secret(self.token_file, TOKEN, _TOKEN_MADE_BY).strip().decode("ascii", "replace")
        request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
            url,
            data=json.dumps(body).encode() if body else None,
            method=method,
            headers={"x-vault-token": token, "content-type": "application/json"},
        )
        try:
            opener = urllib.request.build_opener(
                _NoRedirects, urllib.request.HTTPSHandler(context=self._tls())
            )
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                read: dict[str, Any] = json.loads(answer.read(LARGEST))
                return read
        except urllib.error.HTTPError as refused:
            raise self._told(refused.code, act) from None
        except (OSError, ssl.SSLError) as away:
            raise SettingsRefused(
                f"{ADDRESS}: the service at {self.address} cannot be reached ({type(away).__name__}). Nothing was "
                "changed; see that it runs, and start again."
            ) from None
        except ValueError:
            raise self._unfit() from None

    def _refuse_plain_http(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme == "https":
            return
        host = parts.hostname or ""
        try:
            is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            is_here = False
        if parts.scheme != "http" or not is_here:
            raise SettingsRefused(
                f"{ADDRESS}: must be an https:// address; plain http is for this machine alone. "
                f"Example: {ADDRESS}=https://vault.example.go.ke:8200"
            )

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(
                cafile=None if self.roots_file is None else str(self.roots_file)
            )
        except (OSError, ssl.SSLError):
            raise SettingsRefused(
                f"{ROOTS}: {self.roots_file} holds no certificates that can be read."
            ) from None

    def _told(self, status: int, act: str) -> SettingsRefused:
        where = f"the key {self.mount}/{self.key} of {self.address}"
        match status:
            case 400 if act == "decrypt":
                return SettingsRefused(
                    f"{KEY}: {where} does not open this ring: another key sealed it, or the ring's file was altered. "
                    "Use that key, or restore the ring from its backup."
                )
            case 401 | 403:
                return SettingsRefused(
                    f"{TOKEN}: the service refuses the token in {self.token_file} for {where}. Put a valid one there."
                )
            case 404 | 400:
                return SettingsRefused(
                    f"{KEY}: the service does not have {where}. Make it there (type aes256-gcm96), or correct the name."
                )
            case 503:
                return SettingsRefused(
                    f"{ADDRESS}: the service at {self.address} is sealed or in maintenance."
                )
        return SettingsRefused(f"{ADDRESS}: the service at {self.address} answers {status} for {where}.")

    def _unfit(self) -> SettingsRefused:
        return SettingsRefused(f"{ADDRESS}: what answers at {self.address} is not a transit engine.")


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
