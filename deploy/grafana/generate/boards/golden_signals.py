"""Traffic, errors, latency, saturation: the first page to open."""

from typing import Final

from deploy.grafana.generate.layout import Board, Row
from deploy.grafana.generate.panels import Number, Query, Shown, Unit
from deploy.grafana.generate.promql import MODEL, WINDOW, per_second, quantile, share

REQUESTS: Final = "darkroom_http_requests_total"
PROBES_LEFT_OUT: Final = 'route!~"/health/.*"'
FAILED_REQUESTS: Final = f'status=~"5..", {PROBES_LEFT_OUT}'
DURATION: Final = "darkroom_prediction_duration_seconds"
FAILED: Final = "darkroom_predictions_failed_total"
CLIENTS_OWN: Final = "undecodable_image|deadline_exceeded"
COMPUTED: Final = per_second("darkroom_predictions_total", by="model", where=f'{MODEL}, source!="cache"')

NOW: Final = Row(
    "Now",
    [
        Number(
            id=1,
            title="Alerts firing",
            what="How many alerts of Prometheus fire. Prometheus' page /alerts lists them, each with what to do.",
            queries=[Query('count(ALERTS{alertstate="firing"}) or vector(0)')],
            red=1,
        ),
        Number(
            id=2,
            title="Processes down",
            what="Processes that do not answer Prometheus. The graph of processes below says of which kind.",
            queries=[Query("count(up == 0) or on () vector(0)")],
            orange=1,
        ),
        Number(
            id=3,
            title="Images submitted",
            what="Images that clients submit each second, refused ones included.",
            queries=[Query(per_second("darkroom_submissions_total", where=MODEL))],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Number(
            id=4,
            title="Requests failing",
            what="Share of all HTTP requests answered with 5xx, those turned away for lack of room (503) included.",
            queries=[
                Query(
                    share(
                        per_second(REQUESTS, where=FAILED_REQUESTS),
                        per_second(REQUESTS, where=PROBES_LEFT_OUT),
                        by="",
                    )
                )
            ],
            unit=Unit.SHARE,
            orange=0.01,
            red=0.05,
        ),
        Number(
            id=5,
            title="Slowest 1% (p99)",
            what="99 of 100 predictions end within this time from their submission, images of bulk uploads included.",
            queries=[Query(quantile(0.99, DURATION, where=MODEL))],
            unit=Unit.SECONDS,
        ),
        Number(
            id=6,
            title="Redis' memory in use",
            what="Of its maxmemory. Bulk uploads pause at 60%, every submission is refused at 80%.",
            queries=[Query("darkroom:redis_memory_used:ratio")],
            unit=Unit.SHARE,
            orange=0.7,
            red=0.8,
        ),
    ],
)
TRAFFIC: Final = Row(
    "Traffic",
    [
        Shown(
            id=7,
            title="Images submitted, by outcome",
            what="`queued` will be computed, `joined` waits for the same image, `cached` was answered at once, "
            "`refused` was turned away with 429 or 503. Many `refused`: a lane or Redis is full; add predict workers.",
            queries=[Query(per_second("darkroom_submissions_total", by="outcome", where=MODEL), "{{outcome}}")],
            unit=Unit.IMAGES_A_SECOND,
            stacked=True,
        ),
        Shown(
            id=8,
            title="Predictions ended, by where the output came from",
            what="`model` was computed, `cache` answered from Redis, `coalesced` shared another's computation. It is "
            "below what is submitted while work piles up, or while nothing is recorded.",
            queries=[Query(per_second("darkroom_predictions_total", by="source", where=MODEL), "{{source}}")],
            unit=Unit.IMAGES_A_SECOND,
            stacked=True,
        ),
        Shown(
            id=9,
            title="HTTP requests, by route",
            what="Requests answered each second. Many polls (`GET /v1/predictions/{id}`) for few submissions: clients "
            "should send `Prefer: wait`, stream, or name a webhook.",
            queries=[Query(per_second(REQUESTS, by="method, route"), "{{method}} {{route}}")],
            unit=Unit.REQUESTS_A_SECOND,
        ),
    ],
)
ERRORS: Final = Row(
    "Errors",
    [
        Shown(
            id=10,
            title="Share of requests answered with 5xx, by route",
            what="503: a lane or Redis is full, or a store is away; /health/ready says which. 500 is a defect; "
            "`docker compose logs api` has its traceback.",
            queries=[
                Query(
                    share(
                        per_second(REQUESTS, by="route", where=FAILED_REQUESTS),
                        per_second(REQUESTS, by="route", where=PROBES_LEFT_OUT),
                        by="route",
                    ),
                    "{{route}}",
                )
            ],
            unit=Unit.SHARE,
            alerts=["RequestsFail"],
        ),
        Shown(
            id=11,
            title="Predictions that failed, by reason",
            what="`undecodable_image` and `deadline_exceeded` are the clients' own. `model_error` since a promotion: "
            "roll back to the champion before. `worker_lost`: workers are killed while they compute, often for "
            "memory. `image_failed` in `docker compose logs predict` says more of each.",
            queries=[Query(per_second(FAILED, by="code", where=MODEL), "{{code}}")],
            unit=Unit.IMAGES_A_SECOND,
            stacked=True,
        ),
        Shown(
            id=12,
            title="Share of computed predictions that failed",
            what="Without broken images and deadlines, which are the clients' own.",
            queries=[
                Query(
                    share(
                        per_second(FAILED, by="model", where=f'{MODEL}, code!~"{CLIENTS_OWN}"'), COMPUTED, by="model"
                    ),
                    "{{model}}",
                )
            ],
            unit=Unit.SHARE,
            alerts=["PredictionsFail"],
        ),
        Shown(
            id=13,
            title="Share of computed predictions past their deadline",
            what="They passed the `Cancel-After` that their client set. Where images wait: add predict workers. Where "
            "none do, the deadlines are shorter than one forward pass.",
            queries=[
                Query(
                    share(
                        per_second(FAILED, by="model", where=f'{MODEL}, code="deadline_exceeded"'), COMPUTED, by="model"
                    ),
                    "{{model}}",
                )
            ],
            unit=Unit.SHARE,
            alerts=["PredictionsTooLate"],
        ),
        Shown(
            id=14,
            title="Status of answers",
            what="429: an API key is at its limit. 413, 415 and 422: requests that Darkroom can't read. 503: no room, "
            "or a store is away.",
            queries=[Query(per_second(REQUESTS, by="status"), "{{status}}")],
            unit=Unit.REQUESTS_A_SECOND,
            stacked=True,
            width=16,
        ),
    ],
)
LATENCY: Final = Row(
    "Latency",
    [
        Shown(
            id=15,
            title="From submission to the prediction's end",
            what="What a client that waits sees, its network left out. Images of bulk uploads count too and may wait "
            "for long. The page `Why is it slow?` says where the time goes.",
            queries=[
                Query(quantile(0.5, DURATION, where=MODEL), "half within (p50)"),
                Query(quantile(0.95, DURATION, where=MODEL), "95% within"),
                Query(quantile(0.99, DURATION, where=MODEL), "99% within"),
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
        Shown(
            id=16,
            title="HTTP answers, 99% within, by route",
            what="From a request's head to its answer's end: requests with `Prefer: wait` last as long as they wait, "
            "streams as long as they are open.",
            queries=[
                Query(
                    quantile(0.99, "darkroom_http_request_duration_seconds", by="method, route"),
                    "{{method}} {{route}}",
                )
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
    ],
)
SATURATION: Final = Row(
    "Saturation",
    [
        Shown(
            id=17,
            title="Processes up",
            what="Processes that answer Prometheus, by kind. No `api`: nothing can be submitted. No `record`: nothing "
            "is recorded, and the queue's figures are missing. No `webhooks`: webhooks come later.",
            queries=[Query("sum by (job) (up)", "{{job}}")],
            alerts=["ApiDown", "RecordWorkerDown", "ProcessDown"],
        ),
        Shown(
            id=18,
            title="CPU in use",
            what="Cores that the processes of a kind use, all together. An api at 1 core per process is at its limit: "
            "start one more.",
            queries=[Query(f'sum by (job) (rate(process_cpu_seconds_total{{job!="prometheus"}}{WINDOW}))', "{{job}}")],
            unit=Unit.CORES,
        ),
        Shown(
            id=19,
            title="Memory, largest process",
            what="Resident memory of the largest process of a kind. It is killed at its container's limit "
            "(`mem_limit` in docker-compose.yml), predict at `PREDICT_MEMORY`.",
            queries=[Query('max by (job) (process_resident_memory_bytes{job!="prometheus"})', "{{job}}")],
            unit=Unit.BYTES,
        ),
        Shown(
            id=20,
            title="Since a worker's last heartbeat",
            what="A worker gives one every 2 s, a predict worker between two micro-batches. One that gives none for "
            "minutes hangs, or waits for Redis or the registry; its log says so. Shown up to an hour.",
            queries=[
                Query(
                    "clamp_max(time() - max by (job, instance) (darkroom_worker_heartbeat_timestamp_seconds), 3600)",
                    "{{job}} {{instance}}",
                )
            ],
            unit=Unit.SECONDS,
            alerts=["WorkerStuck"],
            width=24,
        ),
    ],
)
BOARD: Final = Board(
    name="golden-signals",
    title="Golden signals",
    what="Traffic, errors, latency and saturation of the whole service: the first page to open when called.",
    rows=[NOW, TRAFFIC, ERRORS, LATENCY, SATURATION],
)
