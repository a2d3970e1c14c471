"""Why is it slow? From where the time goes to what to change, in the order in which to look."""

from typing import Final

from deploy.grafana.generate.layout import Board, Row
from deploy.grafana.generate.panels import Query, Shown, Unit, Words
from deploy.grafana.generate.promql import MODEL, WINDOW, mean, per_second, quantile

REQUEST_SECONDS: Final = "darkroom_http_request_duration_seconds"
SUBMISSION: Final = 'method="POST", route="/v1/predictions"'
WHERE: Final = """
The first graph splits a prediction's mean time. **Which part is the largest?**

| largest | then read | usual cure |
|---|---|---|
| waiting in the lane | *1. More work than workers* | more predict workers; fewer bulk images at once |
| decoding | *2. Workers* | more cores, smaller images |
| forward pass | *2. Workers* | a GPU, a faster model, more workers |
| writing results | *3. Redis* | a Redis with a faster disk, or a core of its own |
| none of them | *4. Gateway*, *5. Postgres* | one more api process; poll less, `Prefer: wait` more |
"""
TIME: Final = Row(
    "Where the time goes",
    [
        Words(id=1, title="How to read this page", content=WHERE.strip(), width=10, height=9),
        Shown(
            id=2,
            title="Mean time of a prediction, by what it waits for",
            what="Each image waits for its whole micro-batch to be decoded, computed and written, so these add up to "
            "what an image that is computed waits. Cached answers take none of it.",
            queries=[
                Query(mean("darkroom_queue_seconds", where=MODEL), "waiting in the lane"),
                Query(mean("darkroom_decode_seconds", where=MODEL), "decoding"),
                Query(mean("darkroom_forward_seconds", where=MODEL), "forward pass"),
                Query(mean("darkroom_finish_seconds", where=MODEL), "writing results"),
            ],
            unit=Unit.SECONDS,
            stacked=True,
            width=14,
            height=9,
        ),
        Shown(
            id=3,
            title="From submission to end",
            what="Half of all predictions, and 99 of 100, end within this time. A large difference between the two: "
            "some wait for something that others do not, most often bulk images behind people's.",
            queries=[
                Query(
                    quantile(0.5, "darkroom_prediction_duration_seconds", by="model", where=MODEL), "{{model}}: half"
                ),
                Query(
                    quantile(0.99, "darkroom_prediction_duration_seconds", by="model", where=MODEL), "{{model}}: 99%"
                ),
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
        Shown(
            id=4,
            title="Answered from the cache",
            what="Share of submissions. Where it has dropped, each image is computed: a promotion empties the cache, "
            "and so does a Redis without memory (page Queue).",
            queries=[
                Query(
                    f'(sum(rate(darkroom_submissions_total{{{MODEL}, outcome="cached"}}{WINDOW})) or on () vector(0)) '
                    f"/ {per_second('darkroom_submissions_total', where=MODEL)}",
                    "from the cache",
                )
            ],
            unit=Unit.SHARE,
            highest=1,
            width=12,
        ),
    ],
)
WORK: Final = Row(
    "1. More work than workers?",
    [
        Shown(
            id=5,
            title="To be computed, and computed",
            what="Where `queued` stays above `computed`, images pile up: add predict workers (`docker compose up -d "
            "--scale predict=<more>`), or wait for a bulk upload to end.",
            queries=[
                Query(per_second("darkroom_submissions_total", where=f'{MODEL}, outcome="queued"'), "queued"),
                Query(per_second("darkroom_images_total", where=MODEL), "computed"),
            ],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Shown(
            id=6,
            title="Oldest image, by lane",
            what="`interactive` should stay below seconds. `bulk` may wait for long while people's images come first.",
            queries=[
                Query(
                    f"max by (model, lane) (darkroom_lane_oldest_age_seconds{{{MODEL}}})",
                    "{{model}} {{lane}}",
                )
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=7,
            title="Workers that serve a model",
            what="Fewer than usual: one is down, restarts, or loads a model. `docker compose logs predict` says which.",
            queries=[Query(f"max by (model) (darkroom_workers{{{MODEL}}})", "{{model}}")],
        ),
    ],
)
WORKER: Final = Row(
    "2. Workers: what are they busy with?",
    [
        Shown(
            id=8,
            title="A worker's time, on average",
            what="Seconds each second that the mean predict worker spends on it. Together near 1 (times its threads): "
            "workers are the limit. Far below 1 while images wait: they wait for Redis, the registry or a load.",
            queries=[
                Query(
                    f'sum(rate(darkroom_decode_seconds_sum{{{MODEL}}}{WINDOW})) / count(up{{job="predict"}} == 1)',
                    "decoding",
                ),
                Query(
                    f'sum(rate(darkroom_forward_seconds_sum{{{MODEL}}}{WINDOW})) / count(up{{job="predict"}} == 1)',
                    "forward pass",
                ),
                Query(
                    f'sum(rate(darkroom_finish_seconds_sum{{{MODEL}}}{WINDOW})) / count(up{{job="predict"}} == 1)',
                    "writing results",
                ),
            ],
            unit=Unit.SHARE,
            stacked=True,
        ),
        Shown(
            id=9,
            title="Images in a micro-batch",
            what="Small while images wait: the model's `max_batch_size` or the device's memory limits it; or images "
            "are large and one pass takes few of them.",
            queries=[Query(mean("darkroom_batch_size", by="model", where=MODEL), "{{model}}")],
            unit=Unit.IMAGES,
        ),
        Shown(
            id=10,
            title="Work done twice",
            what="Computations begun for each image that ended. Above 1: micro-batches are halved after an error or "
            "for lack of memory, or workers are lost. Look for `worker_lost` and memory in `docker compose logs "
            "predict`.",
            queries=[
                Query(
                    f"{per_second('darkroom_attempts_total', by='model', where=MODEL)} "
                    f"/ {per_second('darkroom_images_total', by='model', where=MODEL)}",
                    "{{model}}",
                )
            ],
        ),
        Shown(
            id=11,
            title="Loads of versions, each minute",
            what="A worker that loads a version computes slower. Loads without promotions: more models than fit in "
            "memory take turns.",
            queries=[
                Query(f"60 * {per_second('darkroom_model_loads_total', by='model', where=MODEL)}", "{{model}}"),
            ],
            width=12,
        ),
        Shown(
            id=12,
            title="CPU of predict workers",
            what="Cores, by process. At the cores that it has, decoding or a model on the CPU is the limit.",
            queries=[Query(f'rate(process_cpu_seconds_total{{job="predict"}}{WINDOW})', "{{instance}}")],
            unit=Unit.CORES,
            width=12,
        ),
    ],
)
REDIS: Final = Row(
    "3. Redis: does it answer in time?",
    [
        Shown(
            id=13,
            width=6,
            title="Writing a micro-batch's results",
            what="One script call, which waits for Redis' disk (`appendfsync always`). More than 10 ms: the disk, or "
            "Redis' one core is the limit.",
            queries=[
                Query(quantile(0.5, "darkroom_finish_seconds", where=MODEL), "half within"),
                Query(quantile(0.99, "darkroom_finish_seconds", where=MODEL), "99% within"),
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=21,
            width=6,
            title="CPU of Redis' main thread",
            what="It executes every command, one after the other. Near 100% Redis is the limit of the whole service, "
            "and every part of it waits. Large images cost it most: let clients send smaller ones, or set "
            "REDIS_IO_THREADS.",
            queries=[Query(f"max(rate(darkroom_redis_cpu_seconds_total{WINDOW}))", "in use")],
            unit=Unit.SHARE,
            highest=1,
        ),
        Shown(
            id=14,
            width=6,
            title="Memory in use, of maxmemory",
            what="Bulk uploads pause at 60% and go on when there is room again; submissions are refused at 80%.",
            queries=[Query("darkroom:redis_memory_used:ratio", "in use")],
            unit=Unit.SHARE,
            highest=1,
        ),
        Shown(
            id=15,
            width=6,
            title="Turned away",
            what="Submissions refused for lack of room (`refused`) or at an API key's limit (`limited`): clients "
            "repeat them later, which they feel as slowness.",
            queries=[
                Query(
                    per_second("darkroom_submissions_total", by="outcome", where=f'{MODEL}, outcome=~"refused|limited"')
                    + " or on () vector(0)",
                    "{{outcome}}",
                )
            ],
            unit=Unit.IMAGES_A_SECOND,
        ),
    ],
)
GATEWAY: Final = Row(
    "4. Gateway: does it answer in time?",
    [
        Shown(
            id=16,
            title="CPU of each gateway",
            what="Cores. A gateway is one process: near 1 it is the limit, and each answer waits for it. Start one "
            "more.",
            queries=[Query(f'rate(process_cpu_seconds_total{{job="api"}}{WINDOW})', "{{instance}}")],
            unit=Unit.CORES,
        ),
        Shown(
            id=17,
            title="Requests being answered at this moment",
            what="Those that wait for a prediction and open streams included. Thousands are normal where clients wait.",
            queries=[Query("sum(darkroom_http_requests_in_progress)", "open")],
        ),
        Shown(
            id=18,
            title="Time of a submission's answer",
            what="`POST /v1/predictions`, from the request's head to the answer's end. With `Prefer: wait` it "
            "includes the prediction; the client's upload is in it too.",
            queries=[
                Query(quantile(0.5, REQUEST_SECONDS, where=SUBMISSION), "half within"),
                Query(quantile(0.99, REQUEST_SECONDS, where=SUBMISSION), "99% within"),
            ],
            unit=Unit.SECONDS,
        ),
    ],
)
POSTGRES: Final = Row(
    "5. Postgres: history and webhooks late?",
    [
        Shown(
            id=19,
            title="Oldest result without a row",
            what="Polls do not wait for it; history, batches' ends and webhooks do.",
            queries=[Query("max(darkroom_recorder_lag_seconds)", "behind")],
            unit=Unit.SECONDS,
            width=12,
        ),
        Shown(
            id=20,
            title="Time of a commit",
            what="More than 100 ms: Postgres' disk, locks, or a vacuum. Where commits are quick and the oldest result "
            "ages, add record workers.",
            queries=[
                Query(quantile(0.5, "darkroom_record_seconds"), "half within"),
                Query(quantile(0.99, "darkroom_record_seconds"), "99% within"),
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
    ],
)
BOARD: Final = Board(
    name="slow",
    title="Why is it slow?",
    what="Where a prediction's time goes, and what to change: read it from the top.",
    rows=[TIME, WORK, WORKER, REDIS, GATEWAY, POSTGRES],
)
