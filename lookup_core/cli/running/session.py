"""One run from beginning to end: claim the home, set up, start, tell, wait, stop in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from lookup_core.cli.addresses import another_offset
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RUN, Record, RunHome
from lookup_core.cli.running import banner, witness
from lookup_core.cli.running.keys import demo_keys, ring_of
from lookup_core.cli.running.processes import (
    Process,
    Wiring,
    held_ports,
    prepared,
    procfile,
    refuse_missing_packages,
)
from lookup_core.cli.running.servers import Servers
from lookup_core.cli.running.store import Store, make_database, prepare
from lookup_core.cli.running.supervisor import Quiet, Supervisor
from lookup_core.cli.status import is_well, phase_of, status_of
from lookup_core.cli.stop import end_leftovers
from lookup_core.embedded.home import FolderClaim, Home, ServerRefused, private_folder, secret

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing

READY_WITHIN_S: Final = 60.0
DEMO_PEOPLE: Final = 20
DEMO_SEED: Final = 47  # not `nser seed`'s own: those come on top


@dataclass(slots=True)
class Session:
    """A run in `home`. `everything` shows the processes' whole logs on the terminal."""

    home: RunHome
    everything: bool = False
    began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Run until Ctrl-C, SIGTERM or a failure. Raises CommandFailed for the latter."""
        # What set-up does is told by us; only what is wrong with it is worth a log line here.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
        try:
            with _stopped_by_signals(), self._claimed(), held_ports(list(procfile())):
                self._go()
        except _Stopped:
            pass
        _say("Stopped.")

    def _go(self) -> None:
        """Set up, start, stay, and stop all of it in order."""
        refuse_missing_packages()
        servers = Servers(self.home)
        try:
            servers.start()
            ring = ring_of(self.home)
            store = asyncio.run(self._set_up(servers, ring))
            self._serve(servers, store, ring)
        finally:
            # A second Ctrl-C must not leave the servers half-way.
            _on_signals(signal.SIG_IGN)
            _say("Stopping.")
            servers.stop()
            end_leftovers(self.home)

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """The home for us alone; what a killed run left in it is ended first."""
        Home.at(self.home.root)
        for folder in (self.home.records, self.home.logs, self.home.secrets):
            private_folder(folder)
        claim = FolderClaim(self.home.records)
        try:
            claim.take()
        except ServerRefused:
            other = self.home.running
            who = f"process {other.pid}" if other else "another process"
            raise CommandFailed(
                f"A system runs in {self.home.root} already ({who}).",
                code=ExitCode.REFUSED,
                attempt="make stop, or another folder and ports: "
                f"NSER_HOME=… NSER_PORT_OFFSET={another_offset()} make run",
                reason="ALREADY_RUNNING",
            ) from None
        try:
            end_leftovers(self.home)
            self.home.write(Record.of(RUN, os.getpid()))
            yield
        finally:
            self.home.forget(RUN)
            claim.release()

    async def _set_up(self, servers: Servers, ring: KeyRing) -> Store:
        url = servers.postgres_url
        if servers.is_embedded:
            url = await make_database(url)
        _, first_keys = demo_keys(self.home)
        store = await prepare(
            url, ring, first_keys, lambda role: secret(self.home.secrets / f"{role}.password")
        )
        await enter_demo_people(store.owner_url, ring)
        return store

    def _serve(self, servers: Servers, store: Store, ring: KeyRing) -> None:
        """Start the processes, tell when all are ready, and stay until asked to stop."""
        wiring = Wiring(
            self.home,
            store.role_urls["registrar"],
            store.role_urls["replica"],
            servers.redis_url,
            audit_log_keys=witness.log_keys(ring, store.audit_log),
            witness_key=witness.verifier_key_of(self.home),
        )
        processes = prepared(wiring)
        printer = Quiet(
            {process.name: process.log for process in processes}, _say, everything=self.everything
        )
        supervisor = Supervisor(self.home, processes, printer)
        _on_signals(lambda *_: supervisor.stop())
        try:
            supervisor.loop(lambda: self._look(supervisor, processes, servers))
        finally:
            printer.close()
        if supervisor.failed:
            raise CommandFailed(supervisor.failed, code=ExitCode.UNAVAILABLE, attempt="nser run --verbose")

    def _look(self, supervisor: Supervisor, processes: list[Process], servers: Servers) -> None:
        try:
            if revived := servers.revive():
                _say(f"{revived} ended by itself and was started again.")
        except CommandFailed as failed:
            supervisor.failed = failed.message
            supervisor.stop()
        if supervisor.ready:
            return
        waiting = [process.name for process in processes if not _is_ready(process)]
        if not waiting:
            supervisor.ready = True
            banner.show(self.home, processes, time.monotonic() - self.began)
        elif time.monotonic() - self.began > READY_WITHIN_S:
            supervisor.failed = (
                f"Not ready within {READY_WITHIN_S:.0f} s: {', '.join(waiting)}. Logs: {self.home.logs}"
            )
            supervisor.stop()


def _is_ready(process: Process) -> bool:
    if not process.ready.exists():
        return False
    told = status_of(process.metrics)
    return told is not None and is_well(phase_of(told), told)


async def enter_demo_people(owner_url: str, ring: KeyRing) -> None:
    """A few demo people for a register that has nobody yet."""
    from lookup_core.cli.database import connected
    from lookup_core.cli.seeding import enter_in_bulk

    async with connected(owner_url) as connection:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM register.person)"):
            return
        async for _ in enter_in_bulk((connection,), ring, DEMO_PEOPLE, seed=DEMO_SEED, excluded_share=0.5):
            pass


class _Stopped(Exception):
    """A signal came while the run was being set up."""


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _Stopped

    _on_signals(stop)
    yield


def _on_signals(handler: Callable[..., None] | signal.Handlers) -> None:
    """Handle what asks us to stop; a signal that was ignored from the start (nohup) stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
