"""What the registrar counts, for Prometheus. Names of calls and codes only: no operator, no person."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The registrar's figures, in a registry of their own, so that two of them can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nser_registrar_requests", "Calls answered.", ("rpc", "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "nser_registrar_request_seconds",
            "Time to the answer, the acknowledgement included.",
            ("rpc",),
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.6, 1, 2, 3, 5, 10),
        )
        self.acknowledged = Histogram(
            "nser_registrar_acknowledgement_seconds",
            "Time from the commit until no replica preceded the revision.",
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.6, 1, 2, 2.25, 3, 5),
        )
        self.waiting = Gauge(
            "nser_registrar_waiting", "Commits that wait for their acknowledgement.", registry=self.registry
        )
        self.unconfirmed = Counter(
            "nser_registrar_unconfirmed", "Writes answered RECORDED_NOT_CONFIRMED.", registry=self.registry
        )
        self.audit_sealed = Gauge(
            "nser_registrar_audit_sealed",
            "Audit entries under the newest checkpoint that this process signed.",
            registry=self.registry,
        )
        self.audit_sealed_at = Gauge(
            "nser_registrar_audit_sealed_at_seconds",
            "When this process signed its newest checkpoint, in Unix time.",
            registry=self.registry,
        )
        self.audit_published = Gauge(
            "nser_registrar_audit_published",
            "Audit entries under the newest checkpoint that a place outside took.",
            ("place",),
            registry=self.registry,
        )
        self.audit_closed = Gauge(
            "nser_registrar_audit_closed",
            "1 when the store was found behind its witness, or another one, and is closed.",
            registry=self.registry,
        )
        self.receipts_unprovable = Counter(
            "nser_registrar_receipts_unprovable",
            "Segments of the lookup log that were asked for a receipt and are not what was sealed.",
            registry=self.registry,
        )

    def page(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)

    @property
    def waiting_now(self) -> int:
        for metric in self.waiting.collect():
            return int(metric.samples[0].value)
        return 0
