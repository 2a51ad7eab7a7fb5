"""What Prometheus sees of a replica. Label values are few and fixed; no person, no key and no operator is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)


class Metrics:
    """Counters of what was answered, and gauges that are read when somebody looks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._calls = Counter(
            "nser_replica_calls", "Calls by RPC and status code.", ["rpc", "code"], registry=self.registry
        )
        self._answers = Counter(
            "nser_replica_answers",
            "Answers about people by RPC and outcome.",
            ["rpc", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "nser_replica_call_seconds",
            "Time from a call's arrival to its answer.",
            ["rpc"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.streams = Gauge("nser_replica_open_streams", "Streams that are open.", registry=self.registry)
        # Children are kept: labels() costs more than the count itself.
        self._kept_calls: dict[tuple[str, str], Counter] = {}
        self._kept_answers: dict[tuple[str, str], Counter] = {}
        self._kept_seconds: dict[str, Histogram] = {}

    def called(self, rpc: str, code: str, seconds: float) -> None:
        """One call, or one message of a stream, has ended."""
        if (calls := self._kept_calls.get((rpc, code))) is None:
            calls = self._kept_calls[rpc, code] = self._calls.labels(rpc, code)
        calls.inc()
        if (histogram := self._kept_seconds.get(rpc)) is None:
            histogram = self._kept_seconds[rpc] = self._seconds.labels(rpc)
        histogram.observe(seconds)

    def answered(self, rpc: str, outcomes: Iterable[str]) -> None:
        """Answers were given."""
        for outcome in outcomes:
            self.answered_many(rpc, outcome, 1)

    def answered_many(self, rpc: str, outcome: str, count: int) -> None:
        """`count` answers of one outcome were given."""
        if (answers := self._kept_answers.get((rpc, outcome))) is None:
            answers = self._kept_answers[rpc, outcome] = self._answers.labels(rpc, outcome)
        answers.inc(count)

    def watch(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Show what `read` gives, at every look. Names that end in `_total` are counters."""
        self.registry.register(_AsRead(read))

    def page(self) -> bytes:
        """All of it in Prometheus's text form."""
        return generate_latest(self.registry)


class _AsRead(Collector):
    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for name, value in self._read().items():
            if name.endswith("_total"):
                yield CounterMetricFamily(f"nser_replica_{name}", MEANINGS[name], value=value)
            else:
                yield GaugeMetricFamily(f"nser_replica_{name}", MEANINGS[name], value=value)

    def describe(self) -> Iterable[Metric]:
        return ()


MEANINGS: Final[Mapping[str, str]] = {
    "people": "People in the index.",
    "excluded": "People in the index who are excluded.",
    "revision": "The revision that the index has.",
    "lease_remaining_ms": "Time left of the lease; 0 when nobody may be cleared.",
    "serving": "1 while checks are answered.",
    "halted": "1 when the store is behind what was seen of it: an operator is needed.",
    "live_replicas": "Replicas with a lease, this one included, by the newest read.",
    "polls_total": "Polls of the feed.",
    "feed_faults_total": "Statements of the feed that failed or took too long.",
    "forced_polls_total": "Checks that asked for FULLY_CONSISTENT.",
    "quota_local": "1 while an equal share stands for the shared budgets, because Redis is away.",
    "quota_fallbacks_total": "Decisions about a budget that were made by the local share.",
    "lookup_log_waiting": "Lookup log entries that wait to be shipped.",
    "lookup_log_shipped_total": "Lookup log entries that were stored.",
    "lookup_log_dropped_total": "Lookup log entries that were lost because the queue was full.",
}
