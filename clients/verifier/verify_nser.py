#!/usr/bin/env python3
"""Verify what Kenya's self-exclusion register shows as proof, with its published key and none of its code.

    verify_nser.py entry FILE --log-key KEY        an entry of the audit log
    verify_nser.py receipt FILE --log-key KEY      an operator's check, and what it was told
    verify_nser.py consistency FILE --log-key KEY  that between two moments the log only grew

With --witness-key KEY a witness must have seen it too. For the expert of a court: Python 3.11 and, for Ed25519, the
package `cryptography`. Exit code 0: verified; 1: not, and why; 2: it cannot be read. The comments quote RFC 6962 and,
of https://c2sp.org, signed-note, tlog-checkpoint and tlog-cosignature.
"""

import argparse
import base64
import hashlib
import json
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

AUDIT_FIELDS = "salt at revision request_id actor action subject origin reason correlation_id"
CHECK_FIELDS = "at replica_id sequence operator_id key_id purpose outcome basis token revision correlation_id"
IN_HEX = ("salt", "request_id", "replica_id", "operator_id", "token")


class NotVerified(Exception):
    """A step of the proof does not hold."""


def need(holds, otherwise):
    if not holds:
        raise NotVerified(otherwise)


# RFC 6962, 2.1: "The hash of a list with one entry (also known as a leaf hash) is: MTH({d(0)}) = SHA-256(0x00 || d(0)).
# For n > 1, let k be the largest power of two smaller than n (i.e., k < n <= 2k). The Merkle Tree Hash of an n-element
# list D[n] is then defined recursively as MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))."
def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


# 2.1.1: "PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n]) for m < k; and PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k])
# for m >= k". Each step puts its hash at the end, so the last hash is the one below the root: here they are taken back.
def root_from_path(m, n, entry_hash, path):
    if n == 1:
        return entry_hash
    need(path, "the inclusion path is too short")
    k, beside = 1 << ((n - 1).bit_length() - 1), path.pop()
    if m < k:
        return node_hash(root_from_path(m, k, entry_hash, path), beside)
    return node_hash(beside, root_from_path(m - k, n - k, entry_hash, path))


# 2.1.2: "SUBPROOF(m, D[m], true) = {}", "SUBPROOF(m, D[m], false) = {MTH(D[m])}"; for m <= k, "SUBPROOF(m, D[n], b) =
# SUBPROOF(m, D[0:k], b) : MTH(D[k:n])"; for m > k, "SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k])". Returns both roots.
def roots_from_proof(m, n, proof, old_root):
    if m == n and old_root is not None:
        return old_root, old_root
    need(proof, "the consistency proof is too short")
    beside = proof.pop()
    if m == n:
        return beside, beside
    k = 1 << ((n - 1).bit_length() - 1)
    if m <= k:
        old, new = roots_from_proof(m, k, proof, old_root)
        return old, node_hash(new, beside)
    old, new = roots_from_proof(m - k, n - k, proof, None)
    return node_hash(beside, old), node_hash(beside, new)


def check_consistency(old_size, old_root, new_size, new_root, proof):
    need(old_size <= new_size, f"the log went back from {old_size} entries to {new_size}")
    need(old_size != new_size or old_root == new_root, f"two different logs have {old_size} entries: a fork")
    if 0 < old_size < new_size:
        roots = roots_from_proof(old_size, new_size, proof, old_root)
        need(roots == (old_root, new_root), "the newer log does not begin with all of the older one")
    need(not proof, "the consistency proof is too long")


# signed-note: "A signed note consists of a text ending in newline (U+000A), followed by a blank line (only a newline),
# followed by one or more signature lines of this form: em dash (U+2014), space (U+0020), key name, space,
# base64-encoded signature, newline." A key is published as <name>+<key id>+<base64 of type and key>.
def check_signature(note, key, wanted_type):
    """Return the text of a note that `key` has signed, and when, which only a witness says."""
    text, blank, lines = note.rpartition("\n\n")
    need(blank and lines.endswith("\n"), "the checkpoint has no signature lines")
    name, key_id, material = key.split("+", 2)
    material, text = base64.b64decode(material, validate=True), text + "\n"
    need(len(material) == 33 and material[0] == wanted_type, f"the key {name} is not of type {wanted_type}")
    # "key ID = SHA-256(key name || 0x0A || signature type || public key)[:4]"
    computed = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    need(computed.hex() == key_id, f"the key {name} is not written as it was published")
    for dash, who, signed in (line.split(" ") for line in lines[:-1].split("\n")):
        signature, message, seconds = base64.b64decode(signed, validate=True), text.encode(), None
        # "The first four bytes in the signature are the uint32 key ID stored in big-endian order."
        if (dash, who, signature[:4]) != ("—", name, computed):
            continue
        signature = signature[4:]
        if wanted_type == 4:  # tlog-cosignature: a u64 time, then the signature over two lines and the text
            seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = f"cosignature/v1\ntime {seconds}\n".encode() + message
        try:
            Ed25519PublicKey.from_public_bytes(material[1:]).verify(signature, message)
        except InvalidSignature:
            raise NotVerified(f"the signature of {name} is false") from None
        return text, seconds
    raise NotVerified(f"{name} has not signed this checkpoint")


# tlog-checkpoint: the first line is the origin; the second "the ASCII decimal representation of the number of leaves in
# the tree"; the third "the base64 encoding of the root of the [RFC 6962] Merkle hash tree at the specified tree size".
def open_checkpoint(note, log_key, witness_key):
    text, _ = check_signature(note, log_key, 1)
    origin, size, root = text.split("\n")[:3]
    need(origin == log_key.split("+")[0], f"it is a checkpoint of {origin}: not the log whose key was given")
    print(f"checkpoint      {origin}, {size} entries, root {root}")
    if witness_key is not None:
        _, seconds = check_signature(note, witness_key, 4)
        print(f"witnessed       {datetime.fromtimestamp(seconds, UTC)} by {witness_key.split('+')[0]}")
    return int(size), base64.b64decode(root, validate=True)


# The register's own bytes: fields in a fixed order, each after its length (four bytes, big endian; -1: absent).
def show_fields(data, names):
    values, place = {}, 0
    for name in names.split():
        (length,), place = struct.unpack_from(">i", data, place), place + 4
        raw, place = data[place : place + max(length, 0)], place + max(length, 0)
        number = int.from_bytes(raw, "big", signed=True)
        if name == "at":  # microseconds since 2000-01-01 UTC
            text = str(datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=number))
        elif name in ("revision", "sequence"):
            text = str(number)
        else:
            text = raw.hex() if name in IN_HEX else raw.decode()
        values[name] = "none" if length == -1 else text
        print(f"  {name:<15} {values[name] if values[name].isprintable() else ascii(values[name])}")
    need(place == len(data), "the entry has another length than its fields")
    return values


def hashes(path):
    return [base64.b64decode(each) for each in path]


def check_inclusion(shown, size, root):
    entry, index, path = base64.b64decode(shown["leaf"]), int(shown["index"]), hashes(shown["path"])
    need(0 <= index < size, f"a log of {size} entries has none at index {index}")
    led_to = root_from_path(index, size, hashlib.sha256(b"\x00" + entry).digest(), path)
    need(led_to == root and not path, "the path does not lead from the entry to the signed root")
    return entry, index


def verify(what, shown, *keys):
    if what == "consistency":
        old, new = (open_checkpoint(shown[name], *keys) for name in ("old", "new"))
        return check_consistency(*old, *new, hashes(shown["path"]))
    sealed = shown["segment"] if what == "receipt" else shown
    entry, index = check_inclusion(sealed, *open_checkpoint(shown["checkpoint"], *keys))
    need(entry.startswith(b"nser-audit-1\n"), "this is no entry of the audit log")
    print(f"audit entry     number {index}")
    told = show_fields(entry[13:], AUDIT_FIELDS)
    if what == "receipt":  # that entry seals a segment of the log of checks: how many, and the root over them
        need(told["action"] == "lookup.segment_sealed", "the entry of the audit log seals no checks")
        seal = dict(word.split("=", 1) for word in told["reason"].split())
        check, index = check_inclusion(shown["check"], int(seal["entries"]), bytes.fromhex(seal["root"]))
        print(f"check           number {index} of {told['subject']}")
        show_fields(check[18:], CHECK_FIELDS)  # after a salt of 16 bytes and the number of fields
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("entry", "receipt", "consistency"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--log-key", required=True)
    parser.add_argument("--witness-key")
    asked = parser.parse_args()
    try:
        shown = json.loads(asked.file.read_text(encoding="utf-8"))
        verify(asked.what, shown, asked.log_key, asked.witness_key)
        print("VERIFIED")
    except NotVerified as failed:
        print(f"NOT VERIFIED: {failed}.")
        return 1
    except (OSError, ValueError, LookupError, AttributeError, TypeError, struct.error) as error:
        print(f"CANNOT BE READ: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
