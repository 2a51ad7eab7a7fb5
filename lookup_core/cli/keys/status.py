"""`nser keys status`: what is on which version. Shows fingerprints, by which two rings can be compared, never a key."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lookup_core.cli.keys.files import Ring
from lookup_core.cli.keys.opening import opened_ring, ring_file
from lookup_core.cli.output import Json, tell

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing


def fingerprint(key: bytes) -> str:
    """A mark of a key that tells nothing of it."""
    from lookup_core.kernel.keyring import derive

    return derive(key, "nser/keyring/fingerprint/1").hex()[:12]


def status(file: Ring = None, json: Json = False) -> None:
    """Tell what a ring holds: ids, versions in use, and fingerprints."""
    kept = ring_file(file)
    ring = opened_ring(file)
    told = {"file": str(kept.path), "provider": kept.provider.name, **of_ring(ring)}
    tell(
        "\n".join([f"{kept.path}, sealed by the provider {kept.provider.name}", *lines_of(told)]),
        told,
        as_json=json,
    )


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
