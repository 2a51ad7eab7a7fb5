"""The door to the native data plane: `lookup_core/dataplane/src/python`. Nothing of it waits while it holds the GIL."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, TypedDict, final

class Counters(TypedDict):
    """Counts since the start, added up over all threads."""

    calls: list[tuple[str, str, int]]  # RPC, gRPC code
    answers: list[tuple[str, str, int]]  # RPC, outcome
    seconds: dict[str, tuple[list[tuple[str, int]], float]]  # by RPC: cumulative buckets, sum
    open_streams: int
    open_connections: int
    refused_connections: int
    failed_handshakes: int
    dropped_connections: int

@final
class Lease:
    """The right to say "not excluded": armed by the poll, spent by every check (SAFETY.md 1)."""

    def __init__(self, *, simulated: bool = False) -> None: ...
    def arm(self, sent_ns: int) -> None: ...
    def disarm(self) -> None: ...
    @property
    def until_ns(self) -> int: ...
    def is_live(self) -> bool: ...
    def set_clock(self, now_ns: int) -> None: ...

@final
class Decision:
    """One answer, in the words of lookup_core.domain.outcome."""

    outcome: str
    basis: str | None
    reason: str | None
    token: bytes | None

@final
class Index:
    """The whole register in memory; one writer."""

    def __init__(self, store_id: bytes) -> None: ...
    def apply(self, revision: int, change: bytes) -> None: ...
    def put_off_tables(self) -> None: ...
    def put_live_versions(self, oldest: int, newest: int) -> None: ...
    def stamp(self, revision: int) -> None: ...
    def loading(self, stream: str) -> Loading: ...
    def put_key(
        self,
        *,
        key_id: str,
        mac: bytes,
        operator_id: bytes,
        scopes: list[str],
        requests_per_second: int,
        people_per_second: int,
        active: bool,
        has_pairwise_tokens: bool,
    ) -> None: ...
    def check(
        self,
        lease: Lease,
        *,
        phone: bytes | None = None,
        document: bytes | None = None,
        token: bytes | None = None,
    ) -> Decision:
        """Decide by the newest form of the keys alone."""

    def check_named(
        self, lease: Lease, keys: BlindKeys, *, phone: str = "", national_id: str = ""
    ) -> Decision:
        """Decide as a call does: by every form in which the index may hold what is named. Raises Refusal."""

    @property
    def live_versions(self) -> tuple[int, int]: ...
    @property
    def revision(self) -> int: ...
    @property
    def people(self) -> int: ...
    @property
    def excluded(self) -> int: ...

@final
class Loading:
    """One stream of a snapshot in PostgreSQL's binary COPY form, in chunks of any size; else ValueError."""

    def feed(self, chunk: bytes) -> None: ...
    def finish(self) -> None: ...

@final
class Picture:
    """An index as it is at one revision, read off while changes go on; ValueError while another is under way."""

    def __init__(self, index: Index) -> None: ...
    @property
    def revision(self) -> int: ...
    def write(self, path: Path, *, key: bytes, digest: bytes) -> int:
        """Write it as a snapshot file, in the place of an earlier one; gives its bytes. Raises OSError."""

@final
class SavedIndex:
    """A snapshot file whose stamp is authentic. OSError; ValueError for one of another key or program, or damaged."""

    def __init__(self, path: Path, key: bytes) -> None: ...
    @property
    def store_id(self) -> bytes: ...
    @property
    def revision(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def live_versions(self) -> tuple[int, int]: ...
    def load(self) -> Index:
        """Read all of it, once."""

class Refusal(ValueError):
    """An identity that cannot be read; its args are reason, field and message."""

@final
class BlindKeys:
    """The sub-keys by version, from 1 on: the 16 bytes by which a person is found. Raises Refusal, KeyError."""

    def __init__(self, phone: bytes, document: bytes) -> None: ...
    def add(self, phone: bytes, document: bytes) -> None:
        """Take the keys of the next version, while checks go on."""

    def phone(self, text: str, version: int = 1) -> bytes: ...
    def document(self, kind: str, number: str, version: int = 1) -> bytes: ...

def refusal_of(rpc: str, message: bytes) -> tuple[str, str | None] | None:
    """Reason and field for which the form of a Check, BatchCheck or StreamCheck is refused, or None.

    For a StreamCheck: that of any check in the message, though a replica answers each by itself.
    """

class TlsRefused(ValueError):
    """What TLS cannot be set up with; its args are the part (chain, key, callers) and why."""

@final
class Tls:
    """The certificate, key and callers' authority that connections are accepted with, as PEM. Raises TlsRefused."""

    def __init__(self, *, chain: bytes, key: bytes, callers: bytes | None = None) -> None: ...
    def renew(self, *, chain: bytes, key: bytes, callers: bytes | None = None) -> None:
        """Take these for the connections that come from now on; what is in force stays when they are refused."""

@final
class Limits:
    """What an operator may set of connections: of the process, streams of each, and times in seconds."""

    def __init__(
        self,
        *,
        connections: int,
        streams: int,
        age_s: float,
        age_grace_s: float,
        keep_alive_s: float,
        keep_alive_timeout_s: float,
    ) -> None: ...

@final
class DataPlane:
    """Lookups, served by native threads. `on_event(name, cause)` is called from a thread of its own."""

    def __init__(
        self,
        lease: Lease,
        *,
        blind_keys: BlindKeys,
        revision_key: bytes,
        pepper: bytes,
        pairing: list[bytes],
        redis_url: str | None,
        replica: str,
        log: LookupLog | None,
        on_event: Callable[[str, str], object],
    ) -> None: ...
    def start(
        self, address: str, *, threads: int, limits: Limits, tls: Tls | None, reflection: bool
    ) -> str: ...
    def serve(self, index: Index) -> None: ...
    def leave(self) -> None: ...
    def drain(self, grace_s: float) -> None: ...
    def newest_ticket(self) -> int: ...
    def refreshed(self, ticket: int, reached: bool) -> None: ...
    def set_live_replicas(self, count: int) -> None: ...
    @property
    def quota_is_local(self) -> bool: ...
    @property
    def quota_fallbacks(self) -> int: ...
    @property
    def forced_polls(self) -> int: ...
    def counters(self) -> Counters: ...

# -- the lookup log

@final
class LogCounts:
    """Entries since the start; `noted` = `written` + `dropped` + `waiting` when nothing moves."""

    @property
    def noted(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def disk_bytes(self) -> int:
        """Of segments that are not shipped, as the writer last saw."""

@final
class LookupLog:
    """The log that answers are noted in, and the thread that writes it into segments below `directory`.

    `on_event` gets (name, cause) of `lookup_log.full`, `.failed`, `.damaged` and `.lost`, on the writer's thread.
    Raises OSError when another process has the directory, or it cannot be made.
    """

    def __init__(
        self,
        directory: Path | str,
        replica_id: bytes,
        *,
        capacity: int | None = None,
        disk_budget: int | None = None,
        segment_bytes: int | None = None,
        segment_entries: int | None = None,
        segment_age_ms: int | None = None,
        on_event: Callable[[str, str], object] | None = None,
    ) -> None: ...
    def note(
        self,
        at_us: int,
        operator_id: bytes,
        key_id: str,
        purpose: int,
        correlation_id: str,
        revision: int,
        entries: Sequence[tuple[int, int, bytes | None]],
    ) -> None:
        """Note (outcome, basis or 0, token) of each, as numbers of nser.lookup.v1. For tests only."""

    def counts(self) -> LogCounts: ...
    def set_checkpoint(self, checkpoint: bytes) -> None:
        """Name a checkpoint of the audit log in the segments that are opened from now on.

        64 bytes: its size u64 little-endian, its root 32, zeros.
        """

    def close(self) -> None:
        """Write what waits and close the last segment. Blocks as long as the disk does."""

@final
class Segment:
    """A closed segment that was verified, and its entries as one stream of COPY BINARY in pieces."""

    PIECE: ClassVar[int]
    columns: ClassVar[list[str]]
    @property
    def replica_id(self) -> bytes: ...
    @property
    def number(self) -> int: ...
    @property
    def previous_sha256(self) -> bytes: ...
    @property
    def checkpoint(self) -> bytes: ...
    @property
    def sha256(self) -> bytes: ...
    @property
    def entries(self) -> int: ...
    @property
    def first_at_us(self) -> int: ...
    @property
    def last_at_us(self) -> int: ...
    @property
    def first_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    def rooting(self, seed: bytes) -> Rooting:
        """The Merkle root of the entries (RFC 6962), their leaves salted from `seed` (32 bytes)."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """How many entries, and their bytes."""

@final
class Rooting:
    """A root that is being computed. Iterating does it in pieces, and gives how many entries each had."""

    PIECE: ClassVar[int]
    @property
    def root(self) -> bytes:
        """Of what was hashed so far."""

    def __iter__(self) -> Iterator[int]: ...
    def __next__(self) -> int: ...

def read_segment(path: Path | str) -> Segment:
    """Read and verify a closed segment. Raises ValueError for a damaged one, OSError for one that cannot be read."""
