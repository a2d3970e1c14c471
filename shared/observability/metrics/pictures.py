"""Metrics of pictures kept to learn from: those written by predict workers, and what their store holds."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

OUTCOMES: Final = ("kept", "there", "no_room", "failed", "purged")
"""How a picture that was to be kept ended: the values of the label `outcome`."""


class PictureMetrics:
    """What a predict worker counts of the pictures that its models' rules want kept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        pictures = Counter(
            "darkroom_pictures_total",
            "Pictures to be kept to learn from, by outcome: kept, there (already), no_room (too many waited to be "
            "written), failed (the store, after three attempts) or purged (with their owner)",
            ["outcome"],
            registry=registry,
        )
        self._outcomes = {name: pictures.labels(name) for name in OUTCOMES}

    def count(self, outcome: str) -> None:
        """Count one picture."""
        self._outcomes[outcome].inc()


class StoredPictureMetrics:
    """What an upkeep worker saw in the store when it last swept it; unset until then."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stored = Gauge("darkroom_pictures_stored", "Pictures kept to learn from", registry=registry)
        self.bytes = Gauge("darkroom_pictures_stored_bytes", "Bytes of these pictures", registry=registry)
        self.swept = Gauge(
            "darkroom_pictures_sweep_timestamp_seconds",
            "Unix time when this worker last swept the store of kept pictures; 0 until then, and without a store",
            registry=registry,
        )
        self.deleted = Counter(
            "darkroom_pictures_deleted_total",
            "Kept pictures deleted, by reason: age, bytes (above the bound) or owner (purged)",
            ["reason"],
            registry=registry,
        )
