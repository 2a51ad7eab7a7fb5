"""OpenFGA and SpiceDB: their commands, one relation written over HTTP, and the message of one check.

The messages are written field by field: their protos would be two more dependencies for two messages.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.running import PeerRefused

OPENFGA_CHECK = "/openfga.v1.OpenFGAService/Check"
SPICEDB_CHECK = "/authzed.api.v1.PermissionsService/CheckPermission"
ANYBODY = "0700000000"  # where the load generator puts a phone
KNOWN = "known"
PATIENCE_S = 30


def openfga_command(program: Path, grpc_port: int, http_port: int) -> list[str | Path]:
    addresses = ["--grpc-addr", f"127.0.0.1:{grpc_port}", "--http-addr", f"127.0.0.1:{http_port}"]
    return [program, "run", *addresses, "--metrics-enabled=false", "--log-level", "none"]


def openfga_message(url: str) -> bytes:
    """Make a store with one relation and one tuple; give the message that checks anybody."""
    store = _post(f"{url}/stores", {"name": "peer"})["id"]
    excluded = {"relations": {"excluded": {"directly_related_user_types": [{"type": "person"}]}}}
    types = [
        {"type": "person"},
        {"type": "register", "relations": {"excluded": {"this": {}}}, "metadata": excluded},
    ]
    wanted = {"schema_version": "1.1", "type_definitions": types}
    model = _post(f"{url}/stores/{store}/authorization-models", wanted)["authorization_model_id"]
    key = {"user": f"person:{KNOWN}", "relation": "excluded", "object": "register:kenya"}
    _post(f"{url}/stores/{store}/write", {"writes": {"tuple_keys": [key]}, "authorization_model_id": model})
    asked = _field(1, f"person:{ANYBODY}") + _field(2, "excluded") + _field(3, "register:kenya")
    return _field(1, store) + _field(2, asked) + _field(4, model)


def spicedb_command(program: Path, grpc_port: int, http_port: int, key: str) -> list[str | Path]:
    return [
        program,
        "serve",
        f"--grpc-addr=127.0.0.1:{grpc_port}",
        f"--grpc-preshared-key={key}",
        "--http-enabled",
        f"--http-addr=127.0.0.1:{http_port}",
        "--datastore-engine=memory",
        "--metrics-enabled=false",
        "--telemetry-endpoint=",  # it would report home
        "--log-level=error",
    ]


def spicedb_message(url: str, authorization: str) -> bytes:
    """Write a schema and one relationship; give the message that checks anybody."""
    headers = {"Authorization": authorization}
    schema = "definition person {}\ndefinition register {\n  relation excluded: person\n}"
    _post(f"{url}/v1/schema/write", {"schema": schema}, headers)
    relationship = {
        "resource": {"objectType": "register", "objectId": "kenya"},
        "relation": "excluded",
        "subject": {"object": {"objectType": "person", "objectId": KNOWN}},
    }
    updates = [{"operation": "OPERATION_TOUCH", "relationship": relationship}]
    _post(f"{url}/v1/relationships/write", {"updates": updates}, headers)
    resource = _field(1, "register") + _field(2, "kenya")
    person = _field(1, "person") + _field(2, ANYBODY)
    return _field(2, resource) + _field(3, "excluded") + _field(4, _field(1, person))


def _field(number: int, value: str | bytes) -> bytes:
    """A length-delimited field of a message; shorter than 128 bytes, as all here are."""
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) >= 128:
        raise ValueError("a longer field needs a longer length")
    return bytes((number << 3 | 2, len(raw))) + raw


def _post(url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """POST JSON, again while the server behind the door is still starting."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), sent)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                read: dict[str, Any] = json.load(answer)
                return read
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise PeerRefused(f"{url}: {error.code} {error.read().decode()}") from None
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise PeerRefused(f"{url} did not answer within {PATIENCE_S} s") from None
        time.sleep(0.2)
