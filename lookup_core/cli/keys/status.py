"""`nser keys status`: what is on which version, in the ring and in the register; how far a rotation is.

Shows fingerprints, by which two rings can be compared, and never a key.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookup_core.cli.exits import CommandFailed
from lookup_core.cli.keys.files import Ring
from lookup_core.cli.keys.opening import opened_ring, ring_file
from lookup_core.cli.keys.rotating import with_register
from lookup_core.cli.output import Json, tell

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing
    from lookup_core.registrar.key_rotations import Standing


def fingerprint(key: bytes) -> str:
    """A mark of a key that tells nothing of it."""
    from lookup_core.kernel.keyring import derive

    return derive(key, "nser/keyring/fingerprint/1").hex()[:12]


def status(
    file: Ring = None,
    ring_only: Annotated[bool, typer.Option("--ring-only", help="Leave the register unasked.")] = False,
    json: Json = False,
) -> None:
    """Tell what a ring holds and what in the register is on which version; counting reads whole tables."""
    kept = ring_file(file)
    told: dict[str, Any] = {
        "file": str(kept.path),
        "provider": kept.provider.name,
        **of_ring(opened_ring(file)),
    }
    lines = [f"{kept.path}, sealed by the provider {kept.provider.name}", *lines_of(told)]
    if not ring_only:
        try:
            standing: Standing = asyncio.run(with_register(lambda keys: keys.standing()))
        except CommandFailed as failed:
            told["register"] = None
            lines.append(f"The register was not asked: {failed.message}")
        else:
            told["register"] = {**asdict(standing), "blind": {str(v): n for v, n in standing.blind.items()}}
            lines += lines_of_register(standing)
    tell("\n".join(lines), told, as_json=json)


def of_ring(ring: "KeyRing") -> dict[str, Any]:
    """What is in the ring, for machines."""
    from lookup_core.kernel.keyring import ROOTS, VERSIONED

    return {
        "active_kek": ring.active_kek,
        "keks": {kek_id: fingerprint(kek) for kek_id, kek in ring.keks.items()},
        "active": {name: getattr(ring, name).active for name in VERSIONED},
        "versions": {
            name: {str(version): fingerprint(key) for version, key in getattr(ring, name).keys.items()}
            for name in VERSIONED
        },
        "roots": {name: fingerprint(getattr(ring, name)) for name in ROOTS},
    }


def lines_of(told: Mapping[str, Any]) -> list[str]:
    """The same for people."""

    def line(name: str, mark: str, *, in_use: bool) -> str:
        return f"  {name:<24}{mark}{'  in use' if in_use else ''}"

    lines = [line(kek_id, mark, in_use=kek_id == told["active_kek"]) for kek_id, mark in told["keks"].items()]
    lines += [
        line(f"{name} {version}", mark, in_use=int(version) == told["active"][name])
        for name, marks in told["versions"].items()
        for version, mark in marks.items()
    ]
    return lines + [line(name, mark, in_use=True) for name, mark in told["roots"].items()]


def lines_of_register(standing: "Standing") -> list[str]:
    """What in the register is on which version, for people."""
    lines = ["In the register"]
    for row in standing.kek_people:
        form = "no manifest" if row["form"] is None else f"form {row['form']}"
        lines.append(f"  {row['kek_id']:<24}{row['people']:>12,} people, {form}")
    lines.append(f"  {'shredded':<24}{standing.shredded:>12,} people")
    lines += [
        f"  {f'blind_roots {version}':<24}{count:>12,} identifiers"
        for version, count in standing.blind.items()
    ]
    lines += [f"  {kek_id:<24}retired {at:%d %b %Y}" for kek_id, at in standing.retired.items()]
    lines += [_rotation_line(row) for row in standing.rotations]
    return lines


def _rotation_line(row: Mapping[str, Any]) -> str:
    refused = f", {row['refused']:,} refused" if row["refused"] else ""
    done = f"{row['done']:,} of {row['total']:,} people{refused}"
    how = "done" if row["state"] == "done" else f"running, pass {row['pass']}, at person {row['position']}"
    return f"  {row['kind']} to {row['kek_id']}: {how}; {done}"
