"""A witness for tests: C2SP tlog-witness over plain HTTP, with a memory of one log."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lookup_core.domain import merkle
from lookup_core.kernel import notes

SIGNER = notes.Signer("witness.example", b"w" * 32)
KEY = notes.Verifier(SIGNER.name, SIGNER.verifier.public_key, notes.COSIGNATURE_V1)


@dataclass
class SmallWitness:
    """What it has seen; `answers` overrules it with statuses, one for each request."""

    log: notes.Verifier
    size: int = 0
    root: bytes = merkle.EMPTY_ROOT
    requests: int = 0
    answers: list[int] = field(default_factory=list)
    url: str = ""

    def add_checkpoint(self, body: str) -> tuple[int, str]:
        self.requests += 1
        if self.answers:
            return self.answers.pop(0), ""
        head, _, note = body.partition("\n\n")
        old, *proof = head.split("\n")
        claimed = int(old.removeprefix("old "))
        text = notes.open(note, self.log)
        said = notes.parse_checkpoint(text)
        if claimed > said.size:
            return 400, ""
        if claimed != self.size or (said.size == self.size and said.root != self.root):
            return 409, f"{self.size}\n"
        try:
            path = [base64.b64decode(each, validate=True) for each in proof]
            merkle.check_consistency(self.size, self.root, said.size, said.root, path)
        except ValueError:
            return 422, ""
        self.size, self.root = said.size, said.root
        return 200, SIGNER.cosignature(text, 1_700_000_000 + self.requests)


@contextmanager
def small_witness(log: notes.Verifier) -> Iterator[SmallWitness]:
    witness = SmallWitness(log)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            found = self.path == "/add-checkpoint"
            status, answer = witness.add_checkpoint(body) if found else (404, "")
            self.send_response(status)
            if status == 409:
                self.send_header("content-type", "text/x.tlog.size")
            self.send_header("content-length", str(len(answer.encode())))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    witness.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield witness
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
