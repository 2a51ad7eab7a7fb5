"""What a run prints when it is ready: where everything is, and lines to copy that work."""

from __future__ import annotations

from lookup_core.cli.addresses import port_offset
from lookup_core.cli.home import CHECKOUT, RunHome, is_checkout
from lookup_core.cli.running.processes import Process

PHONE, DOCUMENT = "0712345678", "12345678"


def show(home: RunHome, processes: list[Process], seconds: float) -> None:
    """Print it on standard output."""
    print(text(home, processes, seconds), flush=True)


def text(home: RunHome, processes: list[Process], seconds: float) -> str:
    """Compose it."""
    at = {process.name: process.address for process in processes}
    key = home.demo()["NSER_API_KEY"]
    nser = _nser(home)
    replicas = ", ".join(address for name, address in at.items() if name.startswith("replica"))
    asked = f'{{"phone":"{PHONE}","id_number":"{DOCUMENT}"}}'
    subject = f'{{"subject":{{"phone":"{PHONE}","document":{{"number":"{DOCUMENT}"}}}}}}'
    return f"""
NSER is ready after {seconds:.1f} s. Ctrl-C stops everything; so does `{nser} stop`.

  REST       http://{at.get("bridge", "-")}
  checks     {replicas}   (gRPC, nser.lookup.v1)
  writes     {at.get("registrar", "-")}   (gRPC, nser.register.v1, nser.bst.v1, nser.access.v1, nser.audit.v1)
  witness    http://{at.get("witness", "-")}   (another party's: c2sp.org/tlog-witness)
  API key    {key}
  all keys   {home.demo_env}
  logs       {home.logs}

Try, in another terminal:

  {nser} check {PHONE} --id {DOCUMENT}
  {nser} register {PHONE} --id {DOCUMENT} --dob 1990-05-17 --period 6_months
  {nser} check {PHONE} --id {DOCUMENT} --everywhere
  {nser} status

  curl -s http://{at.get("bridge", "-")}/api/v1/operators/lookup -H 'authorization: Bearer {key}' \\
    -H 'content-type: application/json' -d '{asked}'

  grpcurl -plaintext -H 'authorization: Bearer {key}' -d '{subject}' \\
    {at.get("replica-1", "-")} nser.lookup.v1.LookupService/Check
"""


def _nser(home: RunHome) -> str:
    """How the command is called for this home and these ports, from the checkout or as it was installed."""
    chosen = "" if home.root == CHECKOUT / ".nser" else f"NSER_HOME={home.root} "
    shifted = f"NSER_PORT_OFFSET={port_offset()} " if port_offset() and chosen else ""
    return f"{chosen}{shifted}{'.venv/bin/nser' if is_checkout() else 'nser'}"
