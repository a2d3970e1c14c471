"""Which alerts hold now, by the thresholds of `deploy/prometheus/alerts.yml`, and since when.

Increases are those of processes that run now: what a process counted that has ended since is not in them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.status.alerts import ALERTS, Alert
from shared.domain.status.computation import STUCK_SECONDS, queue_facts
from shared.domain.status.process_figures import Published, increases, values
from shared.domain.status.service_status import Figures

Labels = tuple[str, ...]
_BY_NAME: Final = {alert.name: alert for alert in ALERTS}
_CLIENTS_OWN: Final = ("undecodable_image", "deadline_exceeded")
"""Error codes that are not this side's failure."""
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An alert whose condition holds, and the labels of what it is about."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What it is about, in one word or two; empty where it is about everything."""
        return " ".join(self.labels.values())

    @property
    def key(self) -> str:
        """Its name among those that hold."""
        return f"{self.name} {self.subject}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAlert:
    """An alert as it is shown: `pending` until it has held for long enough, then `firing`, as in Prometheus."""

    name: str
    severity: str
    subject: str
    state: str
    since_us: int | None
    summary: str
    what_to_do: str


def shown(holding: Sequence[Holding], since: Mapping[str, int], *, now_us: int) -> list[ShownAlert]:
    """Return the alerts that hold with their texts, those that fire first; `since` is by `key`, microseconds."""
    found = [_shown(_BY_NAME[one.name], one, since.get(one.key), now_us) for one in holding]
    return sorted(found, key=lambda one: (one.state != "firing", one.severity != "page", one.name, one.subject))


def _shown(alert: Alert, one: Holding, since: int | None, now_us: int) -> ShownAlert:
    fires = not alert.hold_seconds or (since is not None and now_us - since >= alert.hold_seconds * _SECOND)
    return ShownAlert(
        name=alert.name,
        severity=alert.severity,
        subject=one.subject,
        state="firing" if fires else "pending",
        since_us=since,
        summary=alert.summary.format(**one.labels),
        what_to_do=alert.what_to_do.format(**one.labels),
    )


def holding(
    figures: Figures, processes: Sequence[Published], *, silence: Mapping[str, float], now_seconds: float
) -> list[Holding]:
    """Return the alerts whose condition holds. `silence` is the seconds since each role's last sign of life."""
    queue = queue_facts(processes)
    return [
        *_of_processes(figures, processes, silence, now_seconds),
        *_of_queue(queue),
        *_of_redis(queue),
        *_of_models(processes),
        *_of_shares(processes),
        *_of_increases(processes),
    ]


def _of_processes(
    figures: Figures, processes: Sequence[Published], silence: Mapping[str, float], now: float
) -> Iterator[Holding]:
    running = {role.role for role in figures.roles if role.processes}
    if "record" not in running:
        yield Holding(name="RecordWorkerDown")
    if "webhooks" not in running:
        yield Holding(name="WebhookWorkerDown")
    for one in processes:
        if any(now - at > STUCK_SECONDS for _, at in values([one], "darkroom_worker_heartbeat_timestamp_seconds")):
            yield Holding(name="WorkerStuck", labels={"job": one.figures.roles[0] if one.figures.roles else "worker"})
    for role, seconds in silence.items():
        if seconds > 60:  # noqa: PLR2004  as in alerts.yml
            yield Holding(name="RoleMissing", labels={"role": role})
    swept = [at for _, at in values(processes, "darkroom_sweep_timestamp_seconds")]
    if swept and now - max(swept) > 120:  # noqa: PLR2004
        yield Holding(name="SweepsStand")


def _of_queue(queue: Mapping[str, Any]) -> Iterator[Holding]:
    if not queue:
        yield Holding(name="QueueNotVisible")
        return
    for name, lane, longest in (("PeopleWait", "interactive", 60), ("BulkWaits", "bulk", 3600)):
        for one in queue["lanes"]:
            if one["lane"] == lane and one["oldest_seconds"] > longest:
                yield Holding(name=name, labels={"model": one["model"]})
    for model, count in queue["workers"].items():
        if not count:
            yield Holding(name="NoWorker", labels={"model": model})
    if not queue["workers"]:
        yield Holding(name="NoModelServed")
    for name, lag in (("RecorderLags", 60), ("RecorderStands", 600)):
        if queue["recorder_lag_seconds"] > lag:
            yield Holding(name=name)


def _of_redis(queue: Mapping[str, Any]) -> Iterator[Holding]:
    if not queue:
        return
    for waiting_in, count in queue["bells"].items():
        if count > 30:  # noqa: PLR2004
            yield Holding(name="BellsUnanswered", labels={"queue": waiting_in})
    limit = queue["memory_limit_bytes"]
    if limit and queue["memory_used_bytes"] > 0.7 * limit:
        yield Holding(name="RedisFillsUp")
    if limit and queue["memory_used_bytes"] >= 0.8 * limit:
        yield Holding(name="RedisFull")


def _of_models(processes: Sequence[Published]) -> Iterator[Holding]:
    for metric, name in (
        ("darkroom_model_version_failing", "ModelVersionFails"),
        ("darkroom_champion_went_back", "ChampionWentBack"),
        ("darkroom_canary_went_back", "CanaryWentBack"),
    ):
        for model, version in sorted({labels for labels, value in values(processes, metric) if value == 1}):
            yield Holding(name=name, labels={"version": version, "model": model})


def _of_shares(processes: Sequence[Published]) -> Iterator[Holding]:
    """Give alerts on a share of what was counted, which require a least number of it too."""
    requests = _increases(processes, "darkroom_http_requests_total", 300, lambda labels: labels[1])
    refused = _increases(
        processes,
        "darkroom_http_requests_total",
        300,
        lambda labels: labels[1] if labels[2].startswith("5") and not labels[1].startswith("/health/") else None,
    )
    for route in _above(refused, requests, share=0.05, least=10):
        yield Holding(name="RequestsFail", labels={"route": route})
    computed = _increases(
        processes, "darkroom_predictions_total", 600, lambda labels: labels[0] if labels[4] != "cache" else None
    )
    for name, share, counts in (
        ("PredictionsFail", 0.05, lambda code: code not in _CLIENTS_OWN),
        ("PredictionsTooLate", 0.1, lambda code: code == "deadline_exceeded"),
    ):
        failed = _increases(
            processes,
            "darkroom_predictions_failed_total",
            600,
            lambda labels, counts=counts: labels[0] if counts(labels[1]) else None,  # type: ignore[misc]
        )
        for model in _above(failed, computed, share=share, least=10):
            yield Holding(name=name, labels={"model": model})
    shadows = _increases(processes, "darkroom_shadow_predictions_total", 900, lambda labels: labels[:2])
    failed_shadows = _increases(
        processes,
        "darkroom_shadow_predictions_total",
        900,
        lambda labels: labels[:2] if labels[2] == "failed" else None,
    )
    for model, version in _above(failed_shadows, shadows, share=0.05, least=10):
        yield Holding(name="ShadowFails", labels={"version": version, "model": model})
    attempts = _increases(processes, "darkroom_webhook_attempts_total", 900, lambda _: "")
    undelivered = _increases(
        processes, "darkroom_webhook_attempts_total", 900, lambda labels: "" if labels[0] != "delivered" else None
    )
    for _ in _above(undelivered, attempts, share=0.5, least=20):
        yield Holding(name="DeliveriesFail")


def _of_increases(processes: Sequence[Published]) -> Iterator[Holding]:
    """Give alerts on a number of what was counted."""
    skipped = _increases(
        processes,
        "darkroom_shadow_skipped_total",
        900,
        lambda labels: labels[0] if labels[1] in ("lane_full", "memory_high", "results_full") else None,
    )
    for model, count in sorted(skipped.items()):
        if count > 10:  # noqa: PLR2004
            yield Holding(name="ShadowNotKeepingUp", labels={"model": model})
    for name, metric, window, most, wanted in (
        ("PicturesNotKept", "darkroom_pictures_total", 900, 10, ("failed", "no_room")),
        ("RecordingFails", "darkroom_record_failures_total", 120, 5, ("",)),
        ("DeliveriesGivenUp", "darkroom_webhook_attempts_total", 3600, 0, ("exhausted",)),
    ):
        counted = _increases(processes, metric, window, lambda labels: labels[0])
        if sum(counted.get(label, 0.0) for label in wanted) > most:
            yield Holding(name=name)


def _above(part: Mapping[Any, float], whole: Mapping[Any, float], *, share: float, least: int) -> list[Any]:
    return sorted(one for one, count in part.items() if count > least and count > share * whole.get(one, 0.0))


def _increases(
    processes: Sequence[Published], name: str, window: int, key: Callable[[Labels], Any]
) -> dict[Any, float]:
    """Return a counter's increase within a window, summed by the key of its labels; where that is None, left out."""
    found: dict[Any, float] = defaultdict(float)
    for labels, increase, _ in increases(processes, name, window):
        if (one := key(labels)) is not None:
            found[one] += increase
    return dict(found)


def since_when(holding_now: Sequence[Holding], before: Mapping[str, int], *, now_us: int) -> dict[str, int]:
    """Return since when those that hold now have held, by `key`: as before, or since now."""
    return {one.key: before.get(one.key, now_us) for one in holding_now}
