"""Computes the status from what the processes have published and what the roles' signs of life say."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from shared.domain.status.percentiles import Percentiles, percentiles
from shared.domain.status.process_figures import Published, increases, values
from shared.domain.status.service_status import (
    Device,
    Figures,
    Lane,
    Model,
    Process,
    Recording,
    Requests,
    Role,
    Submissions,
    Unknown,
    Webhooks,
)

ROLES: Final = ("api", "predict", "record", "webhooks", "upkeep")
SILENT_SECONDS: Final = 6.0
"""A process that has not published for so long is silent: it publishes every 2 s."""
STUCK_SECONDS: Final = 180.0
"""A worker without a heartbeat for so long is stuck; a solo worker gives none while it computes a micro-batch."""
RECENT: Final = 10
MINUTE: Final = 60
_NO_QUEUE: Final = "no upkeep worker publishes it"
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Whether a role's work is done: `ready`, `late` or `missing`, and what is wrong."""

    state: str
    detail: str


def figures_of(processes: Sequence[Published], duties: Mapping[str, Duty], *, now_seconds: float) -> Figures:
    """Return what these processes' figures come to; `duties` are those of record, webhooks and upkeep, by role.

    Rates are those of the last 10 seconds, percentiles of the last minute. `now_seconds` is the time since 1970.
    """
    queue = queue_facts(processes)
    has = {role: any(role in one.figures.roles for one in processes) for role in ROLES}
    latency, wait, forward = (
        _buckets(processes, f"darkroom_{name}_seconds_bucket") for name in ("prediction_duration", "queue", "forward")
    )
    models = _models(processes, queue, latency=latency, wait=wait, forward=forward)
    submitted = _rates(processes, "darkroom_submissions_total", lambda labels: labels[1])
    rows = _rates(processes, "darkroom_predictions_total", lambda _: "")
    attempts = _rates(processes, "darkroom_webhook_attempts_total", lambda labels: labels[0])
    return Figures(
        roles=[_role(role, processes, duties, queue, now_seconds) for role in ROLES],
        models=models,
        images_per_second=_rounded(sum(one.images_per_second for one in models)) if has["predict"] else None,
        batch_size=_batch_sizes(processes, lambda _: "").get(""),
        latency_seconds=_all_models(latency),
        wait_seconds=_all_models(wait),
        forward_seconds=_all_models(forward),
        submissions=_submissions(submitted) if has["api"] else None,
        cache_share=_cache_share(submitted),
        requests=_requests(processes) if has["api"] else None,
        recording=Recording(
            waiting=queue["finished"],
            lag_seconds=queue["recorder_lag_seconds"],
            rows_per_second=_rounded(rows.get("", 0.0)),
        )
        if queue
        else None,
        webhooks=Webhooks(
            delivered_per_second=_rounded(attempts.get("delivered", 0.0)),
            failed_per_second=_rounded(attempts.get("pending", 0.0) + attempts.get("exhausted", 0.0)),
        )
        if has["webhooks"]
        else None,
        memory_bytes=queue["memory_used_bytes"] if queue else None,
        memory_limit_bytes=(queue["memory_limit_bytes"] or None) if queue else None,
        unknown=[Unknown(what="queue", why=_NO_QUEUE)] * (not queue)
        + [
            Unknown(what=what, why=f"no {role} process publishes its figures")
            for role, what in (("api", "submissions"), ("predict", "images"), ("webhooks", "deliveries"))
            if not has[role]
        ],
    )


def queue_facts(processes: Iterable[Published]) -> Mapping[str, Any]:
    """Return the queue's state as an upkeep worker read it last; empty where none could."""
    told = [one for one in processes if one.figures.facts.get("queue")]
    return min(told, key=lambda one: one.silent_seconds).figures.facts["queue"] if told else {}


def _role(
    role: str, processes: Sequence[Published], duties: Mapping[str, Duty], queue: Mapping[str, Any], now: float
) -> Role:
    found = [_process(one, now) for one in processes if role in one.figures.roles]
    duty = duties.get(role)
    if role == "predict":
        alone = sorted(model for model, count in queue.get("workers", {}).items() if not count)
        duty = Duty(state="missing", detail=f"no worker serves {', '.join(alone)}") if alone else None
    if duty is None:
        state = "ready" if found else "missing" if role == "predict" else "unknown"
        duty = Duty(state=state, detail="" if found else "no process publishes its figures")
    wrong = [f"{one.name} is {one.state}" for one in found if one.state != "ready"]
    if wrong and duty.state == "ready":
        duty = Duty(state="late", detail="; ".join(wrong))
    return Role(role=role, state=duty.state, detail=duty.detail, processes=sorted(found, key=lambda one: one.name))


def _process(one: Published, now: float) -> Process:
    figures = one.figures
    beats = [value for _, value in values([one], "darkroom_worker_heartbeat_timestamp_seconds") if value]
    stuck = bool(beats) and now - max(beats) > STUCK_SECONDS
    predicts = "predict" in figures.roles
    busy = sum(grown / seconds for _, grown, seconds in increases([one], "darkroom_forward_seconds_sum", RECENT))
    images = sum(grown / seconds for _, grown, seconds in increases([one], "darkroom_images_total", RECENT))
    return Process(
        name=figures.name,
        host=figures.host,
        pid=figures.pid,
        state="stuck" if stuck else "silent" if one.silent_seconds > SILENT_SECONDS else "ready",
        seen_seconds=round(one.silent_seconds, 1),
        up_seconds=round(figures.up_seconds + one.silent_seconds, 1),
        cores=figures.cores,
        memory_bytes=figures.memory_bytes,
        busy=round(busy, 3) if predicts else None,
        images_per_second=_rounded(images) if predicts else None,
        device=_device(figures.facts.get("device")),
    )


def _device(facts: Mapping[str, Any] | None) -> Device | None:
    """Return a GPU; None without one, and where a process of another release publishes less about it."""
    known = {field.name: facts[field.name] for field in fields(Device) if field.name in facts} if facts else {}
    return Device(**known) if len(known) == len(fields(Device)) else None


def _models(
    processes: Sequence[Published],
    queue: Mapping[str, Any],
    *,
    latency: Mapping[str, Mapping[float, float]],
    wait: Mapping[str, Mapping[float, float]],
    forward: Mapping[str, Mapping[float, float]],
) -> list[Model]:
    images = _rates(processes, "darkroom_images_total", lambda labels: labels[0])
    failed = _rates(processes, "darkroom_images_total", lambda labels: labels[0] if labels[1] != "succeeded" else "\0")
    sizes = _batch_sizes(processes, lambda labels: labels[0])
    workers: Mapping[str, int] = queue.get("workers", {})
    lanes = {(lane["model"], lane["lane"]): lane for lane in queue.get("lanes", ())}
    return [
        Model(
            model=model,
            workers=workers.get(model),
            images_per_second=_rounded(images.get(model, 0.0)),
            failed_per_second=_rounded(failed.get(model, 0.0)),
            batch_size=sizes.get(model),
            interactive=_lane(lanes.get((model, "interactive"))),
            bulk=_lane(lanes.get((model, "bulk"))),
            shadow_waiting=queue.get("shadow_entries", {}).get(model),
            latency_seconds=percentiles(latency.get(model, {})),
            wait_seconds=percentiles(wait.get(model, {})),
            forward_seconds=percentiles(forward.get(model, {})),
        )
        for model in sorted({*workers, *images, *(model for model, _ in lanes)})
    ]


def _lane(lane: Mapping[str, Any] | None) -> Lane | None:
    if lane is None:
        return None
    return Lane(entries=lane["entries"], bytes=lane["bytes"], oldest_seconds=lane["oldest_seconds"])


def _submissions(rates: Mapping[str, float]) -> Submissions:
    return Submissions(
        queued_per_second=_rounded(rates.get("queued", 0.0)),
        joined_per_second=_rounded(rates.get("joined", 0.0)),
        cached_per_second=_rounded(rates.get("cached", 0.0)),
        repeated_per_second=_rounded(rates.get("repeated", 0.0)),
        refused_per_second=_rounded(rates.get("refused", 0.0) + rates.get("limited", 0.0)),
        unreadable_per_second=_rounded(rates.get("unreadable", 0.0)),
    )


def _cache_share(rates: Mapping[str, float]) -> float | None:
    answered = sum(rate for outcome, rate in rates.items() if outcome not in ("refused", "limited"))
    return round(rates.get("cached", 0.0) / answered, 4) if answered else None


def _requests(processes: Sequence[Published]) -> Requests:
    by_class = _rates(processes, "darkroom_http_requests_total", lambda labels: labels[2][:1])
    running = sum(value for _, value in values(processes, "darkroom_http_requests_in_progress"))
    return Requests(
        per_second=_rounded(sum(by_class.values())),
        failed_per_second=_rounded(by_class.get("5", 0.0)),
        in_progress=int(running),
    )


def _rates(processes: Iterable[Published], name: str, key: Callable[[Labels], str]) -> dict[str, float]:
    """Return a counter's increase per second within the last 10 seconds, summed by the key of its labels."""
    found: dict[str, float] = defaultdict(float)
    for labels, increase, seconds in increases(processes, name, RECENT):
        found[key(labels)] += increase / seconds
    return dict(found)


def _batch_sizes(processes: Sequence[Published], key: Callable[[Labels], str]) -> dict[str, float]:
    images = _rates(processes, "darkroom_batch_size_sum", key)
    batches = _rates(processes, "darkroom_batch_size_count", key)
    return {one: round(images.get(one, 0.0) / count, 2) for one, count in batches.items() if count}


def _buckets(processes: Iterable[Published], name: str) -> dict[str, dict[float, float]]:
    """Return by model the cumulative counts of a histogram's last minute, by upper bound."""
    found: dict[str, dict[float, float]] = {}
    for labels, increase, _ in increases(processes, name, MINUTE):
        counts = found.setdefault(labels[0], {})
        bound = math.inf if labels[-1] == "+Inf" else float(labels[-1])
        counts[bound] = counts.get(bound, 0.0) + increase
    return found


def _all_models(by_model: Mapping[str, Mapping[float, float]]) -> Percentiles | None:
    total: dict[float, float] = defaultdict(float)
    for counts in by_model.values():
        for bound, count in counts.items():
            total[bound] += count
    return percentiles(total)


def _rounded(rate: float) -> float:
    return round(rate, 2)
