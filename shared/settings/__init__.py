"""All settings, and the one place that reads the environment: `read(Queue)` returns a small frozen object.

Each part of Darkroom is handed only the classes it needs. The variable of a field is its class' prefix and its name:
`DARKROOM_QUEUE_LEASE` is `Queue.lease`. Durations are seconds (`10`, `0.5`) or ISO 8601 (`PT5M`).
"""

from shared.settings.environment import SettingsError, every_class, misspelled, read
from shared.settings.gateway import Auth, Bulk, Files, Gateway, Intake, Links, RegistryEvents, Server, Wire
from shared.settings.operation import Local, Logging, Metrics, Tracing
from shared.settings.pictures import KeepImages
from shared.settings.queue import Batching, Queue
from shared.settings.stores import Database, Redis
from shared.settings.webhooks import Webhooks
from shared.settings.workers import Beat, Predict, Recording, Registry, RegistryLogin, Retention

__all__ = [
    "Auth",
    "Batching",
    "Beat",
    "Bulk",
    "Database",
    "Files",
    "Gateway",
    "Intake",
    "KeepImages",
    "Links",
    "Local",
    "Logging",
    "Metrics",
    "Predict",
    "Queue",
    "Recording",
    "Redis",
    "Registry",
    "RegistryEvents",
    "RegistryLogin",
    "Retention",
    "Server",
    "SettingsError",
    "Tracing",
    "Webhooks",
    "Wire",
    "every_class",
    "misspelled",
    "read",
]
