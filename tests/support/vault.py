"""A small server that speaks the part of Vault's transit API (v1) that the register uses, over real HTTP.

Keys live in its memory; a ciphertext is bound to its associated data, and carries the version of its key, as Vault's.
"""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.test-token"
PREFIX = "vault:v1:"


@dataclass
class FakeVault:
    """What the server knows; a test changes it while the server runs."""

    address: str = ""
    token: str = TOKEN
    is_sealed: bool = False
    keys: dict[str, bytes] = field(default_factory=lambda: {"nser-keyring": os.urandom(32)})
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Give status and body, as the real one does."""
        self.asked.append(f"{method} {path}")
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != self.token:
            return 403, {"errors": ["permission denied"]}
        match path.removeprefix("/v1/").split("/"):
            case ["transit", "keys", name] if method == "GET" and name in self.keys:
                return 200, {"data": {"name": name, "type": "aes256-gcm96"}}
            case ["transit", "encrypt", name] if method == "POST" and name in self.keys:
                return 200, {"data": {"ciphertext": self._encrypted(name, body)}}
            case ["transit", "decrypt", name] if method == "POST" and name in self.keys:
                return self._decrypted(name, body)
            case ["transit", _, _]:
                return (404 if method == "GET" else 400), {"errors": ["encryption key not found"]}
        return 404, {"errors": ["no handler for route"]}

    def _encrypted(self, name: str, body: dict[str, Any]) -> str:
        nonce = os.urandom(12)
        bound = b64decode(body.get("associated_data", ""))
        sealed = AESGCM(self.keys[name]).encrypt(nonce, b64decode(body["plaintext"]), bound)
        return PREFIX + b64encode(nonce + sealed).decode()

    def _decrypted(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            sealed = b64decode(body["ciphertext"].removeprefix(PREFIX), validate=True)
            bound = b64decode(body.get("associated_data", ""))
            clear = AESGCM(self.keys[name]).decrypt(sealed[:12], sealed[12:], bound)
        except (InvalidTag, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": b64encode(clear).decode()}}


@contextmanager
def fake_vault() -> Iterator[FakeVault]:
    """A server on a port of its own."""
    vault = FakeVault()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = vault.answer(
                self.command, self.path, self.headers.get("x-vault-token", ""), body
            )
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vault.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
