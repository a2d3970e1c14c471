"""The alerts that the processes' figures can tell: name, severity, how long each must hold, and what to do.

They are those of `deploy/prometheus/alerts.yml`, word for word; a test holds both equal. Here they are a table, so that
who runs no Prometheus is told too. {names} in the texts are the labels of what an alert is about.
Over 300 lines: it is one table.
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
            "`docker compose ps redis record` and `docker compose logs --tail 50 record`. Where Redis hangs, "
            "see to Redis first: the worker answers only after it. Else `docker compose restart record`. It "
            "catches up by itself; nothing is lost."
        ),
    ),
    Alert(
        name="WebhookWorkerDown",
        severity="warning",
        hold_seconds=300,
        summary="No webhook worker is up",
        what_to_do=(
            "`docker compose ps webhooks` and `docker compose logs --tail 50 webhooks` say why; `docker compose"
            " up -d webhooks` starts it again. It sends by itself what is due."
        ),
    ),
    Alert(
        name="WorkerStuck",
        severity="warning",
        hold_seconds=300,
        summary="A {job} worker is stuck",
        what_to_do=(
            "`docker compose logs --tail 50 {job}`: it may wait for Redis, or for the registry and a version "
            "that an alias names. Else `docker compose restart {job}`: other workers take over what it holds, "
            "and nothing is lost."
        ),
    ),
    Alert(
        name="RoleMissing",
        severity="warning",
        hold_seconds=60,
        summary="The role {role} does no work",
        what_to_do=(
            "`docker compose ps record webhooks beat` and their logs: `worker_not_started`, `thread_died` and "
            "`waiting_for_redis` say why. Restart the role's service: `docker compose restart record` for "
            "record and upkeep, `webhooks` for webhooks; for upkeep `beat` too, which schedules its sweeps."
        ),
    ),
    Alert(
        name="BellsUnanswered",
        severity="warning",
        hold_seconds=120,
        summary="Tasks in the queue {queue} are not executed",
        what_to_do=(
            "See in Flower (Workers) whether a worker consumes this queue, and in that worker's log whether it "
            "says `Cannot connect`. Restart it: `docker compose restart predict`, for the other queues `record`"
            " or `webhooks`."
        ),
    ),
    Alert(
        name="SweepsStand",
        severity="warning",
        hold_seconds=60,
        summary="No upkeep sweep runs",
        what_to_do=(
            "`docker compose ps beat` and `docker compose logs --tail 50 beat`, which schedules sweeps; `docker"
            " compose restart beat`. If beat is well, look for `sweep` in `docker compose logs record`."
        ),
    ),
    Alert(
        name="RequestsFail",
        severity="page",
        hold_seconds=120,
        summary="Requests to {route} fail",
        what_to_do=(
            "`curl http://127.0.0.1:8000/health/ready` says which store is down, and how full the lanes and "
            "Redis are: bring it back, or add predict workers. `docker compose logs api` has a line with its "
            "`status` for each such request: 503 is one of these, 500 is a defect, whose traceback is beside "
            "it."
        ),
    ),
    Alert(
        name="QueueNotVisible",
        severity="page",
        hold_seconds=60,
        summary="The state of the queue is unknown",
        what_to_do=(
            "`docker compose ps redis record`. If both run, `docker compose exec redis redis-cli ping` says "
            "whether Redis answers, and `docker compose logs --tail 50 record` what it answers to the worker."
        ),
    ),
    Alert(
        name="PeopleWait",
        severity="page",
        hold_seconds=60,
        summary="People wait for {model}",
        what_to_do=(
            "See whether predict workers are there (darkroom_workers) and compute (darkroom_images_total). If "
            "they do, there is more work than they can take: `docker compose up -d --scale predict=<more>`. If "
            "they don't, `docker compose logs --tail 50 predict` says why."
        ),
    ),
    Alert(
        name="BulkWaits",
        severity="warning",
        hold_seconds=600,
        summary="Bulk images wait for {model}",
        what_to_do=(
            "Interactive images come first, so bulk images wait while there are many. If darkroom_images_total "
            "grows, add predict workers (`docker compose up -d --scale predict=<more>`) or wait; if it does "
            "not, look at `docker compose logs --tail 50 predict`."
        ),
    ),
    Alert(
        name="NoWorker",
        severity="page",
        hold_seconds=120,
        summary="No worker serves {model}",
        what_to_do=(
            "`docker compose ps predict` and `docker compose logs --tail 50 predict`. A worker that starts "
            "waits for the registry (`docker compose ps mlflow`) and for a version that an alias names."
        ),
    ),
    Alert(
        name="NoModelServed",
        severity="warning",
        hold_seconds=600,
        summary="No model is served",
        what_to_do=(
            "`docker compose run --rm setup darkroom models list` says why none serves; `… models promote NAME "
            "latest` makes a version the champion. If a model has one, `docker compose logs --tail 50 predict` "
            "says what the workers wait for."
        ),
    ),
    Alert(
        name="ModelVersionFails",
        severity="warning",
        hold_seconds=120,
        summary="Version {version} of {model} can't be loaded",
        what_to_do=(
            "GET /v1/models/{model} says why. Register a repaired version, or point the alias back; for the "
            "champion, `docker compose run --rm setup darkroom models rollback {model}` does that."
        ),
    ),
    Alert(
        name="ChampionWentBack",
        severity="warning",
        hold_seconds=0,
        summary="Version {version} of {model} failed too many images",
        what_to_do=(
            "GET /v1/models/{model} says how many and why. Register a repaired version and promote it, or make "
            "the one that serves the champion again: `docker compose run --rm setup darkroom models rollback "
            "{model}`. The tag `darkroom.max_error_percent` sets the limit."
        ),
    ),
    Alert(
        name="CanaryWentBack",
        severity="warning",
        hold_seconds=0,
        summary="The canary of version {version} of {model} went back",
        what_to_do=(
            "`docker compose run --rm setup darkroom models canary {model} --status` says which limit broke, or "
            "what was missing; `… models compare` has the figures of both versions. Register a repaired version "
            "and begin a new canary with it. This ends by itself a day later."
        ),
    ),
    Alert(
        name="PicturesNotKept",
        severity="warning",
        hold_seconds=900,
        summary="Pictures to learn from are not kept",
        what_to_do=(
            'The log line `pictures_not_kept` of a predict worker says why. With `outcome="no_room"` the store '
            "is too slow: keep a smaller share (`darkroom models keep`), or raise "
            "DARKROOM_KEEP_IMAGES_WAITING_BYTES."
        ),
    ),
    Alert(
        name="ShadowNotKeepingUp",
        severity="warning",
        hold_seconds=900,
        summary="The shadow of {model} does not keep up",
        what_to_do=(
            "The label reason of darkroom_shadow_skipped_total says why. lane_full: give it a smaller share "
            "(`docker compose run --rm setup darkroom models shadow`) or add predict workers. memory_high: see "
            "RedisFillsUp. results_full: see RecorderLags."
        ),
    ),
    Alert(
        name="ShadowFails",
        severity="warning",
        hold_seconds=120,
        summary="Version {version} of {model} fails images as shadow",
        what_to_do=(
            "The log line `shadow_failed` of a predict worker says why, as GET "
            "/v1/predictions/<id>?include=shadow does. Don't promote this version; end its shadow with `docker "
            "compose run --rm setup darkroom models shadow {model} --off`."
        ),
    ),
    Alert(
        name="RedisFillsUp",
        severity="warning",
        hold_seconds=300,
        summary="Redis fills up",
        what_to_do=(
            "See which lane holds it (darkroom_lane_bytes). Where images wait, add predict workers; where "
            "darkroom_finished_entries grows, see RecorderLags; else give Redis more memory: REDIS_MAXMEMORY in"
            " .env, and twice that as REDIS_MEMORY."
        ),
    ),
    Alert(
        name="RedisFull",
        severity="page",
        hold_seconds=180,
        summary="Redis is full, and submissions are refused",
        what_to_do=(
            "More memory for now: `docker compose exec redis redis-cli CONFIG SET maxmemory 1500mb`, below its "
            "container's limit (REDIS_MEMORY, 2g). For good: REDIS_MAXMEMORY in .env, and twice that as "
            "REDIS_MEMORY. Where images wait, add predict workers. Nothing that was accepted is lost."
        ),
    ),
    Alert(
        name="PredictionsFail",
        severity="page",
        hold_seconds=120,
        summary="Predictions of {model} fail",
        what_to_do=(
            "`image_failed` in `docker compose logs predict` gives the `error_code` and `error` of each. "
            "`model_error` since a promotion: `docker compose run --rm setup darkroom models rollback {model}`."
            " `worker_lost`: predict workers are killed, often for memory (PREDICT_MEMORY). "
            "`model_unavailable`: see NoWorker."
        ),
    ),
    Alert(
        name="PredictionsTooLate",
        severity="warning",
        hold_seconds=300,
        summary="Predictions of {model} come too late",
        what_to_do=(
            "Where images wait, add predict workers: `docker compose up -d --scale predict=<more>`. Where few "
            "do, ask who sends such short deadlines."
        ),
    ),
    Alert(
        name="RecorderLags",
        severity="warning",
        hold_seconds=120,
        summary="Results are recorded late",
        what_to_do=(
            "`docker compose ps postgres`, and `recording_failed` in `docker compose logs record` says why. If "
            "Postgres is well and its commits are quick, add record workers: `docker compose up -d --scale "
            "record=2`."
        ),
    ),
    Alert(
        name="RecorderStands",
        severity="page",
        hold_seconds=120,
        summary="Nothing is recorded",
        what_to_do=(
            "Bring Postgres back (`docker compose ps postgres`, `docker compose logs --tail 50 postgres`), see "
            "that its disk has room, and look for `recording_failed` in `docker compose logs record`. Rows "
            "catch up by themselves."
        ),
    ),
    Alert(
        name="RecordingFails",
        severity="warning",
        hold_seconds=180,
        summary="Results can't be written to Postgres",
        what_to_do=(
            "`recording_failed` in `docker compose logs record` says why. Is Postgres up (`docker compose ps "
            "postgres`), has its disk room, is its schema this release's (`docker compose run --rm setup "
            "darkroom migrate`)?"
        ),
    ),
    Alert(
        name="DeliveriesFail",
        severity="warning",
        hold_seconds=600,
        summary="Webhooks don't arrive",
        what_to_do=(
            "`webhook_attempted` in `docker compose logs webhooks` has destination and error of each attempt "
            "that failed. One destination: tell its owner. All of them: look at this side's network, DNS and "
            "certificates."
        ),
    ),
    Alert(
        name="DeliveriesGivenUp",
        severity="warning",
        hold_seconds=0,
        summary="Webhooks were given up",
        what_to_do=(
            "`webhook_attempted` with the outcome exhausted, in `docker compose logs webhooks`, says to whom "
            "and why. Tell the owner: with their key, GET /v1/webhook-deliveries?status=exhausted lists them, "
            "and POST /v1/webhook-deliveries/<id>/redeliver tries once more."
        ),
    ),
)
"""In the order of alerts.yml."""
