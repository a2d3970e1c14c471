"""The alerts that the processes' figures can tell: name, severity, how long each must hold, and what to do.

They are those of `deploy/prometheus/alerts.yml`, word for word; a test holds both equal. Here they are a table, so that
who runs no Prometheus is told too. {names} in the texts are the labels of what an alert is about.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. `hold_seconds` is how long its condition must hold until it fires."""

    name: str
    severity: str
    hold_seconds: int
    summary: str
    what_to_do: str


ONLY_PROMETHEUS: Final = {
    "ApiDown": "no gateway would answer",
    "ProcessDown": "a process that ends is forgotten after seconds: who expects it is not known here",
    "WebhooksWait": "it is read from Postgres, which a status must not wait for",
}
"""Alerts that figures can't tell, and why."""

ALERTS: Final = (
    Alert(
        name="RecordWorkerDown",
        severity="page",
        hold_seconds=120,
        summary="No record worker is up",
        what_to_do=(
            "Look at `docker compose ps redis record` and `docker compose logs record`: where Redis hangs, "
            "the worker answers too late. Else restart it. It catches up by itself; nothing is lost."
        ),
    ),
    Alert(
        name="WebhookWorkerDown",
        severity="warning",
        hold_seconds=300,
        summary="No webhook worker is up",
        what_to_do=(
            "Look at `docker compose ps webhooks` and `docker compose logs webhooks`, and start it again. It "
            "delivers what is due by itself."
        ),
    ),
    Alert(
        name="WorkerStuck",
        severity="warning",
        hold_seconds=300,
        summary="A {job} worker is stuck",
        what_to_do=(
            "Look at `docker compose logs {job}`: it may wait for Redis, or for the registry and a version "
            "that an alias names. Else restart it; another worker takes over what it holds."
        ),
    ),
    Alert(
        name="RoleMissing",
        severity="warning",
        hold_seconds=60,
        summary="The role {role} does no work",
        what_to_do=(
            "Look at `docker compose ps record webhooks beat` and their logs: `worker_not_started`, "
            "`thread_died` and `waiting_for_redis` say why. Restart what consumes that queue; for upkeep look"
            " at beat too, which schedules sweeps."
        ),
    ),
    Alert(
        name="BellsUnanswered",
        severity="warning",
        hold_seconds=120,
        summary="Tasks in the queue {queue} are not executed",
        what_to_do=(
            "Check whether a worker consumes this queue (Flower, Workers) and whether its log says `Cannot "
            "connect`; restart it."
        ),
    ),
    Alert(
        name="SweepsStand",
        severity="warning",
        hold_seconds=60,
        summary="No upkeep sweep runs",
        what_to_do=(
            "Look at `docker compose ps beat` and `docker compose logs beat`, which schedules sweeps, and "
            "restart it. If it runs, look for `sweep` in `docker compose logs record`."
        ),
    ),
    Alert(
        name="RequestsFail",
        severity="page",
        hold_seconds=120,
        summary="Requests to {route} fail",
        what_to_do=(
            "Ask /health/ready what is down, and look for `status` 5xx in `docker compose logs api`. A 503 "
            "with Retry-After means that a lane or Redis is full: add predict workers."
        ),
    ),
    Alert(
        name="QueueNotVisible",
        severity="page",
        hold_seconds=60,
        summary="The state of the queue is unknown",
        what_to_do=(
            "Look at `docker compose ps redis record`. If Redis runs, `docker compose logs record` says what "
            "it answers."
        ),
    ),
    Alert(
        name="PeopleWait",
        severity="page",
        hold_seconds=60,
        summary="People wait for {model}",
        what_to_do=(
            "Check whether predict workers live (darkroom_workers) and compute (darkroom_images_total). If "
            "they do, there is more work than they can take: `docker compose up -d --scale predict=<more>`."
        ),
    ),
    Alert(
        name="BulkWaits",
        severity="warning",
        hold_seconds=600,
        summary="Bulk images wait for {model}",
        what_to_do=(
            "Interactive images come first, so bulk images wait while there are many. If "
            "darkroom_images_total grows, add predict workers or wait; if it does not, look at `docker "
            "compose logs predict`."
        ),
    ),
    Alert(
        name="NoWorker",
        severity="page",
        hold_seconds=120,
        summary="No worker serves {model}",
        what_to_do=(
            "Look at `docker compose ps predict` and `docker compose logs predict`. A worker that starts "
            "waits for the registry and for a version that an alias names."
        ),
    ),
    Alert(
        name="NoModelServed",
        severity="warning",
        hold_seconds=600,
        summary="No model is served",
        what_to_do=(
            "Point the alias `champion` at a version in MLflow, and look at `docker compose logs predict`, "
            "which says what it waits for."
        ),
    ),
    Alert(
        name="ModelVersionFails",
        severity="warning",
        hold_seconds=120,
        summary="Version {version} of {model} can't be loaded",
        what_to_do="GET /v1/models/{model} says why. Repair it as a new version, or point the alias back.",
    ),
    Alert(
        name="ChampionWentBack",
        severity="warning",
        hold_seconds=0,
        summary="Version {version} of {model} failed too many images",
        what_to_do=(
            "GET /v1/models/{model} says how many and why. Register a repaired version and promote it, or "
            "point the alias champion at the version that serves. The tag `darkroom.max_error_percent` sets "
            "the limit."
        ),
    ),
    Alert(
        name="PicturesNotKept",
        severity="warning",
        hold_seconds=900,
        summary="Pictures to learn from are not kept",
        what_to_do=(
            'The log line `pictures_not_kept` of a predict worker says why. With `outcome="no_room"` the '
            "store is too slow: keep a smaller share (`darkroom models keep`), or raise "
            "DARKROOM_KEEP_IMAGES_WAITING_BYTES."
        ),
    ),
    Alert(
        name="ShadowNotKeepingUp",
        severity="warning",
        hold_seconds=900,
        summary="The shadow of {model} does not keep up",
        what_to_do=(
            "`darkroom status` says why: with lane_full give it a smaller share (`darkroom models shadow`) or"
            " add predict workers; with memory_high see RedisFillsUp; with results_full see RecorderLags."
        ),
    ),
    Alert(
        name="ShadowFails",
        severity="warning",
        hold_seconds=120,
        summary="Version {version} of {model} fails images as shadow",
        what_to_do=(
            "The log line `shadow_failed` of a predict worker says why, as GET "
            "/v1/predictions/<id>?include=shadow does. Don't promote it; end it with `darkroom models shadow "
            "{model} --off`."
        ),
    ),
    Alert(
        name="RedisFillsUp",
        severity="warning",
        hold_seconds=300,
        summary="Redis fills up",
        what_to_do=(
            "See which lane holds it (darkroom_lane_bytes). Add predict workers if images wait, check the "
            "record worker if darkroom_finished_entries grows; else give Redis more memory."
        ),
    ),
    Alert(
        name="RedisFull",
        severity="page",
        hold_seconds=180,
        summary="Redis is full, and submissions are refused",
        what_to_do=(
            "Give Redis more memory (`CONFIG SET maxmemory` acts at once) or add predict workers. Nothing "
            "that was accepted is lost."
        ),
    ),
    Alert(
        name="PredictionsFail",
        severity="page",
        hold_seconds=120,
        summary="Predictions of {model} fail",
        what_to_do=(
            "GET /v1/predictions?status=failed gives each one's error_code. model_error after a promotion: "
            "point `champion` back. worker_lost: look at `docker compose logs predict`, often for memory."
        ),
    ),
    Alert(
        name="PredictionsTooLate",
        severity="warning",
        hold_seconds=300,
        summary="Predictions of {model} come too late",
        what_to_do=(
            "Add predict workers: `docker compose up -d --scale predict=<more>`. If few images wait, ask who "
            "sends such short deadlines."
        ),
    ),
    Alert(
        name="RecorderLags",
        severity="warning",
        hold_seconds=120,
        summary="Results are recorded late",
        what_to_do=(
            "Look at `docker compose ps postgres` and for `recording_failed` in `docker compose logs record`."
            " If Postgres is well and busy, add record workers."
        ),
    ),
    Alert(
        name="RecorderStands",
        severity="page",
        hold_seconds=120,
        summary="Nothing is recorded",
        what_to_do=(
            "Bring Postgres back, see that its disk has room, and look for `recording_failed` in `docker "
            "compose logs record`. Rows catch up by themselves."
        ),
    ),
    Alert(
        name="RecordingFails",
        severity="warning",
        hold_seconds=180,
        summary="Results can't be written to Postgres",
        what_to_do=(
            "`recording_failed` in `docker compose logs record` says why. Is Postgres up, has its disk room, "
            "is its schema this release's (`darkroom migrate`)?"
        ),
    ),
    Alert(
        name="DeliveriesFail",
        severity="warning",
        hold_seconds=600,
        summary="Webhooks don't arrive",
        what_to_do=(
            "GET /v1/webhook-deliveries?status=pending shows whose and why. If it is everybody's, look at "
            "this side's network, DNS and certificates."
        ),
    ),
    Alert(
        name="DeliveriesGivenUp",
        severity="warning",
        hold_seconds=0,
        summary="Webhooks were given up",
        what_to_do=(
            "GET /v1/webhook-deliveries?status=exhausted says to whom and why. Tell the receiver's owner, "
            "then POST /v1/webhook-deliveries/<id>/redeliver."
        ),
    ),
)
"""In the order of alerts.yml."""
