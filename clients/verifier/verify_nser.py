"""Verify what Kenya's self-exclusion register shows as proof, with its published key and none of its code.

    verify_nser.py entry FILE --log-key KEY        an entry of the audit log: `nser audit prove NUMBER --json`
    verify_nser.py receipt FILE --log-key KEY      an operator's check, and what it was told
    verify_nser.py month FILE --log-key KEY        a whole month: `nser audit export`, with the .entries beside it
    verify_nser.py consistency FILE --log-key KEY  that between two moments the log only grew

With --witness-key KEY a witness must have seen it too. Needs Python 3.11 and, for Ed25519, the package `cryptography`.
Exit code 0: verified; 1: not, and why; 2: it cannot be read. Comments quote RFC 6962 and c2sp.org.
"""

import argparse
import base64
import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

AUDIT_FIELDS = "salt at revision request_id actor action subject origin reason correlation_id"
CHECK_FIELDS = "at replica_id sequence operator_id key_id purpose outcome basis token revision correlation_id"
IN_HEX = ("salt", "request_id", "replica_id", "operator_id", "token")


def need(holds, otherwise):
    if not holds:
        sys.exit(f"NOT VERIFIED: {otherwise}.")  # exit code 1


# RFC 6962, 2.1: "The hash of a list with one entry (also known as a leaf hash) is: MTH({d(0)}) = SHA-256(0x00 || d(0)).
# For n > 1, let k be the largest power of two smaller than n (i.e., k < n <= 2k). The Merkle Tree Hash of an n-element
# list D[n] is then defined recursively as MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))."
def node_hash(left, right):
    need(len(left) == len(right) == 32, "a hash has another length than 32 bytes")
    return hashlib.sha256(b"\x01" + left + right).digest()


# 2.1.1: "PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n]) for m < k; and PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k])
# for m >= k". Each step puts its hash at the end, so the last hash is the one below the root: here they are taken back.
def root_from_path(m, n, entry_hash, path):
    if n == 1:
        return entry_hash
    k, beside = 1 << ((n - 1).bit_length() - 1), path.pop()
    if m < k:
        return node_hash(root_from_path(m, k, entry_hash, path), beside)
    return node_hash(beside, root_from_path(m - k, n - k, entry_hash, path))


# 2.1.2: "SUBPROOF(m, D[m], true) = {}", "SUBPROOF(m, D[m], false) = {MTH(D[m])}"; for m <= k, "SUBPROOF(m, D[n], b) =
# SUBPROOF(m, D[0:k], b) : MTH(D[k:n])"; for m > k, "SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k])". Returns both roots.
def roots_from_proof(m, n, proof, old_root):
    if m == n:
        return (old_root, old_root) if old_root is not None else (proof.pop(),) * 2
    k, beside = 1 << ((n - 1).bit_length() - 1), proof.pop()
    if m <= k:
        old, new = roots_from_proof(m, k, proof, old_root)
        return old, node_hash(new, beside)
    old, new = roots_from_proof(m - k, n - k, proof, None)
    return node_hash(beside, old), node_hash(beside, new)


def check_consistency(old_size, old_root, new_size, new_root, proof):
    need(old_size <= new_size, f"the log went back from {old_size} entries to {new_size}")
    need(old_size != new_size or old_root == new_root, f"two different logs have {old_size} entries: a fork")
    between = 0 < old_size < new_size
    roots = roots_from_proof(old_size, new_size, proof, old_root) if between else (old_root, new_root)
    need(roots == (old_root, new_root) and not proof, "the newer log does not begin with the older one")


# A month's file has the hashes of whole subtrees before and after its entries: the largest that fit, from the left.
def check_month(shown, file, size, root):
    sizes = iter(lambda: int.from_bytes(file.read(4), "big"), 0)
    entries = (hashlib.sha256(b"\x00" + file.read(each)).digest() for each in sizes)
    whole, place = [], 0
    for part, end in (("before", shown["first"]), ("entries", shown["end"]), ("after", size)):
        nodes = entries if part == "entries" else map(base64.b64decode, shown[part])
        while place < end:
            fits, stands = (end - place).bit_length() - 1, (place & -place).bit_length() - 1
            height = 0 if part == "entries" else min(fits, stands if place else fits)
            node, place = next(nodes, b""), place + (1 << height)
            while whole and whole[-1][0] == height:
                node, height = node_hash(whole.pop()[1], node), height + 1
            whole.append((height, node))
        need(not next(nodes, b""), f"there are more {part} than the file says")
    node = whole.pop()[1]
    while whole:
        node = node_hash(whole.pop()[1], node)
    need(node == root, "these entries are not what was signed")


# signed-note: "A signed note consists of a text ending in newline (U+000A), followed by a blank line (only a newline),
# followed by one or more signature lines of this form: em dash (U+2014), space (U+0020), key name, space,
# base64-encoded signature, newline." A key is published as <name>+<key id>+<base64 of type and key>.
def check_signature(note, key, wanted_type):
    text, blank, lines = note.rpartition("\n\n")
    need(blank and lines.endswith("\n"), "the checkpoint has no signature lines")
    name, key_id, material = key.split("+", 2)
    material, text = base64.b64decode(material, validate=True), text + "\n"
    # "key ID = SHA-256(key name || 0x0A || signature type || public key)[:4]"
    computed = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    need(computed.hex() == key_id and material[0] == wanted_type, f"{key} is no key of type {wanted_type}")
    signed = [line.split(" ") for line in lines[:-1].split("\n")]
    signed = [base64.b64decode(encoded) for dash, who, encoded in signed if (dash, who) == ("—", name)]
    signed = [
        each[4:] for each in signed if each[:4] == computed
    ]  # "the first four bytes … are the uint32 key ID"
    need(signed, f"{name} has not signed this checkpoint")
    signature, message, seconds = signed[0], text.encode(), None
    if wanted_type == 4:  # tlog-cosignature: a u64 time, then the signature over two lines and the text
        seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        message = f"cosignature/v1\ntime {seconds}\n".encode() + message
    try:
        Ed25519PublicKey.from_public_bytes(material[1:]).verify(signature, message)
    except InvalidSignature:
        need(False, f"the signature of {name} is false")
    return text, seconds


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


# The register's own bytes: fields in order, each after its length (four bytes; -1: absent). A check: 18 bytes first.
def show_fields(title, data, names):
    values, place = {}, 0
    print(title)
    for name in names.split():
        length, place = int.from_bytes(data[place : place + 4], "big", signed=True), place + 4
        raw, place = data[place : place + max(length, 0)], place + max(length, 0)
        text, number = "none", int.from_bytes(raw, "big", signed=True)
        if name == "at":  # microseconds since 2000-01-01 UTC
            text = str(datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=number))
        elif length != -1 and name in ("revision", "sequence"):
            text = str(number)
        elif length != -1:
            text = raw.hex() if name in IN_HEX else raw.decode()
        values[name] = text
        print(f"  {name:<15} {text if text.isprintable() else ascii(text)}")
    need(place == len(data), "the entry has another length than its fields")
    return values


def check_inclusion(shown, size, root):
    entry = base64.b64decode(shown["leaf"] if "leaf" in shown else shown["bytes"])
    index = int(shown["index"] if "index" in shown else shown["entry"])
    path = [*map(base64.b64decode, shown["path"])]
    need(0 <= index < size, f"a log of {size} entries has none at index {index}")
    led_to = root_from_path(index, size, hashlib.sha256(b"\x00" + entry).digest(), path)
    need(led_to == root and not path, "the path does not lead from the entry to the signed root")
    return entry, index


def verify(what, file, *keys):
    shown = json.loads(file.read_text(encoding="utf-8"))
    if what == "consistency":
        old, new = (open_checkpoint(shown[name], *keys) for name in ("old", "new"))
        return check_consistency(*old, *new, [*map(base64.b64decode, shown["path"])])
    checkpoint = open_checkpoint(shown["checkpoint"], *keys)
    if what == "month":
        with file.with_suffix(".entries").open("rb") as entries:
            return check_month(shown, entries, *checkpoint)
    entry, index = check_inclusion(shown["segment"] if what == "receipt" else shown, *checkpoint)
    need(entry.startswith(b"nser-audit-1\n"), "this is no entry of the audit log")
    told = show_fields(f"audit entry     number {index}", entry[13:], AUDIT_FIELDS)
    if what == "receipt":  # that entry seals a segment of the log of checks: how many, and the root over them
        need(told["action"] == "lookup.segment_sealed", "the entry of the audit log seals no checks")
        seal = dict(word.split("=", 1) for word in told["reason"].split())
        check, index = check_inclusion(shown["check"], int(seal["entries"]), bytes.fromhex(seal["root"]))
        show_fields(f"check           number {index} of {told['subject']}", check[18:], CHECK_FIELDS)
    return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("entry", "receipt", "month", "consistency"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--log-key", required=True)
    parser.add_argument("--witness-key")
    asked = parser.parse_args()
    try:
        verify(asked.what, asked.file, asked.log_key, asked.witness_key)
    except IndexError:
        need(False, "a path is too short")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        print(f"CANNOT BE READ: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    print("VERIFIED")
