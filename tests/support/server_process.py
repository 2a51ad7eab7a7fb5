"""One registrar or replica as a process of its own: started, frozen, killed, started again, and always ended.

Its output goes to a file that the test may search; it dies with the test process whatever happens (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc

from lookup_core.embedded.child import dying_with_us
from tests.support.waiting import until

CHECKOUT = Path(__file__).parents[2]
READY_S = 30.0
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
)


class ServerProcess:
    """`python -m module arguments`, with `environment` and nothing of ours beside it."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.address = ""
        self.log = folder / f"{name}.log"
        self._ready_file = folder / f"{name}.ready"
        self._command = [*dying_with_us("KILL"), sys.executable, "-m", module, *arguments]
        passed = {each: os.environ[each] for each in ("PATH", "HOME", "TMPDIR", "LANG") if each in os.environ}
        self._environment = {
            **passed,
            "NSER_READY_FILE": str(self._ready_file),
            "NSER_REFLECTION": "true",
            "NSER_ENVIRONMENT": "test",
            "NSER_DRAIN_GRACE_S": "2",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.aio.Channel | None = None

    # -- life

    async def start(self) -> None:
        """Return when the process says that it serves."""
        self.launch()
        await self.ready()

    def launch(self) -> None:
        """Start the process, and do not wait for it."""
        assert not self.is_running, f"{self.name} runs already"
        self._ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env=self._environment,
            )

    async def ready(self, *, within_s: float = READY_S) -> None:
        await until(
            self._is_ready, f"{self.name} is ready; {self.log}: {self.output()[-2000:]}", within_s=within_s
        )
        self.address = json.loads(self._ready_file.read_text())["address"]
        await self._hang_up()  # whoever called meanwhile did so at the address of an earlier life

    def _is_ready(self) -> bool:
        assert self.is_running, f"{self.name} ended with {self.exit_code}: {self.output()[-4000:]}"
        return self._ready_file.exists() and self._ready_file.stat().st_size > 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """kill -9, and collect."""
        os.kill(self.pid, signal.SIGKILL)
        await self.ended()
        await self._hang_up()

    def terminate(self) -> None:
        """Ask it to leave (SIGTERM)."""
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self, *, within_s: float = 15.0) -> int:
        """The exit code, once it has ended."""
        await until(lambda: not self.is_running, f"{self.name} has ended", within_s=within_s)
        assert self._process is not None
        return self._process.returncode

    async def restart(self) -> None:
        """Start it again, at another port."""
        await self._hang_up()
        await self.start()

    async def end(self) -> None:
        """End it in whatever state it is, as the last thing a test does."""
        await self._hang_up()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # ends a frozen one too
            await asyncio.to_thread(self._process.wait)

    async def _hang_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    # -- talking to it

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to where it serves now."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        return self._channel

    def output(self) -> str:
        """Everything it has printed in all its lives."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""
