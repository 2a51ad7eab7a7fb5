"""What Prometheus sees of a replica. Label values are few and fixed; no person, no key and no operator is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from lookup_core._dataplane import Counters


class Metrics:
    """What the data plane has counted, and gauges that are read when somebody looks."""

    def __init__(self, counters: Callable[[], Counters]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(_Counted(counters))

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Show what `read` gives, at every look. Names that end in `_total` are counters."""
        self.registry.register(_AsRead(read))

    def page(self) -> bytes:
        """All of it in Prometheus's text form."""
        return generate_latest(self.registry)


class _Counted(Collector):
    """The data plane's counters, added up over its threads."""

    def __init__(self, counters: Callable[[], Counters]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        counted = self._counters()
        calls = CounterMetricFamily(
            "nser_replica_calls", "Calls by RPC and status code.", labels=["rpc", "code"]
        )
        for rpc, code, count in counted["calls"]:
            calls.add_metric([rpc, code], count)
        answers = CounterMetricFamily(
            "nser_replica_answers", "Answers about people by RPC and outcome.", labels=["rpc", "outcome"]
        )
        for rpc, outcome, count in counted["answers"]:
            answers.add_metric([rpc, outcome], count)
        seconds = HistogramMetricFamily(
            "nser_replica_call_seconds", "Time from a call's arrival to its answer.", labels=["rpc"]
        )
        for rpc, (buckets, total) in counted["seconds"].items():
            seconds.add_metric([rpc], buckets, total)
        yield from (calls, answers, seconds)
        yield _gauge("open_streams", counted["open_streams"])
        yield _gauge("open_connections", counted["open_connections"])
        yield _counter("refused_connections", counted["refused_connections"])
        yield _counter("failed_handshakes", counted["failed_handshakes"])
        yield _counter("dropped_connections", counted["dropped_connections"])

    def describe(self) -> Iterable[Metric]:
        return ()


class _AsRead(Collector):
    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for name, value in self._read().items():
            yield (_counter if name.endswith("_total") else _gauge)(name, value)

    def describe(self) -> Iterable[Metric]:
        return ()


def _counter(name: str, value: float) -> Metric:
    return CounterMetricFamily(f"nser_replica_{name}", MEANINGS[name], value=value)


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(f"nser_replica_{name}", MEANINGS[name], value=value)


MEANINGS: Final[Mapping[str, str]] = {
    "open_streams": "Streams that are open.",
    "open_connections": "Connections that are open.",
    "refused_connections": "Connections that were refused because there were too many.",
    "failed_handshakes": "Connections that ended before their TLS handshake did.",
    "dropped_connections": "Connections that ended by a fault of the transport or the caller.",
    "people": "People in the index.",
    "excluded": "People in the index who are excluded.",
    "revision": "The revision that the index has.",
    "lease_remaining_ms": "Time left of the lease; 0 when nobody may be cleared.",
    "serving": "1 while checks are answered.",
    "halted": "1 when the store is behind what was seen of it: an operator is needed.",
    "lacks_blind_key": "1 when a key of the blind index is lacking: nobody is cleared until it is there.",
    "blind_key_version": "The newest version of the blind keys that this replica has.",
    "live_replicas": "Replicas with a lease, this one included, by the newest read.",
    "polls_total": "Polls of the feed.",
    "feed_faults_total": "Statements of the feed that failed or took too long.",
    "forced_polls_total": "Checks that asked for FULLY_CONSISTENT.",
    "quota_local": "1 while an equal share stands for the shared budgets, because Redis is away.",
    "quota_fallbacks_total": "Decisions about a budget that were made by the local share.",
    "tls_certificate_not_after_seconds": "When the first certificate of the chain in force ends, since 1970.",
    "tls_renewals_total": "Times that changed certificate files were taken.",
    "tls_renewal_failures_total": "Times that changed certificate files could not be used; the old stayed in force.",
    "snapshot_file_written_total": "Times that the snapshot file was written.",
    "snapshot_file_failed_total": "Times that the snapshot file could not be written; the older one is still there.",
    "snapshot_file_loaded_total": "Starts from the snapshot file: 0 or 1.",
    "snapshot_file_refused_total": "Starts for which the snapshot file was of no use: 0 or 1.",
    "snapshot_file_bytes": "Bytes of the snapshot file that was written last.",
    "snapshot_file_revision": "The revision of the snapshot file; 0 where none was written or loaded.",
    "lookup_log_waiting": "Lookup log entries that wait to be shipped.",
    "lookup_log_shipped_total": "Lookup log entries that were stored.",
    "lookup_log_dropped_total": "Lookup log entries that were lost: the queue, or the disk, was full.",
    "lookup_log_disk_bytes": "Bytes of segments of the lookup log that are not shipped.",
    "lookup_log_damaged_total": "Segments of the lookup log that were set aside as damaged.",
}
