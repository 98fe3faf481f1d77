"""Metrics of what this daemon asks the other nodes' daemons."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

WHAT: Final = ("slot", "request", "event", "list", "home", "api")
RESULTS: Final = ("ok", "refused", "failed")
_BUCKETS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
"""Normally milliseconds; a request is given up after three seconds."""


class PeerMetrics:
    """One series for each kind of request, from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "asterisk_avp_peer_requests_total",
            "Requests to the daemons of other nodes, by what was asked and how it was answered.",
            ("what", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "asterisk_avp_peer_request_seconds",
            "How long the daemons of other nodes take to answer, repetitions included.",
            ("what",),
            buckets=_BUCKETS,
            registry=registry,
        )
        for what in WHAT:
            self._seconds.labels(what)
            for outcome in RESULTS:
                self._requests.labels(what, outcome)

    def observe(self, what: str, outcome: str, seconds: float) -> None:
        self._requests.labels(what, outcome).inc()
        self._seconds.labels(what).observe(seconds)
