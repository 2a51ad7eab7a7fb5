"""The witness of the sandbox as a process of its own, with a log's hands to speak to it."""

from __future__ import annotations

from pathlib import Path

import httpx2

from nser_sandbox.witness.notes import WitnessKey
from nser_sandbox.witness.state import folder_name
from tests.support.server_process import ServerProcess
from tests.support.transparency_log import WITNESS, Log, Signer, b64

ME = Signer("university.example/witness", WITNESS, b"\x21" * 32)


class WitnessProcess(ServerProcess):
    """`python -m nser_sandbox witness`, or the one of `broken_witness` where a class is named."""

    def __init__(self, folder: Path, *logs: Log, broken: str = "") -> None:
        key_file = folder / "witness.key"
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_text(WitnessKey(ME.name, ME.seed).secret_text)
        arguments = ["witness", "--key-file", str(key_file), "--state-dir", str(folder / "state")]
        arguments += ["--address", "127.0.0.1:0"]
        for log in logs:
            arguments += ["--log-key", log.signer.verifier_key]
        module = "tests.support.broken_witness" if broken else "nser_sandbox"
        super().__init__("witness", module, [*([broken] if broken else []), *arguments], {}, folder)

    async def submit(self, log: Log, old: int, new: int | None = None) -> httpx2.Response:
        """Send a checkpoint of `log` with its proof from `old`."""
        proof = "".join(f"{b64(each)}\n" for each in log.consistency(old, new))
        return await self.post(f"old {old}\n{proof}\n{log.checkpoint(new)}".encode())

    async def post(self, body: bytes) -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
            return await client.post(f"http://{self.address}/add-checkpoint", content=body)

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
            return await client.get(f"http://{self.address}{path}")

    async def newest(self, log: Log) -> httpx2.Response:
        return await self.get(f"/checkpoint/{folder_name(log.signer.name)}")
