"""The queue in Redis, its workers, and the way from there to Postgres."""

from typing import Final

from deploy.grafana.generate.layout import Board, Row
from deploy.grafana.generate.panels import Number, Query, Shown, Unit
from deploy.grafana.generate.promql import MODEL, WINDOW, mean, per_second, quantile

LANES: Final = Row(
    "Lanes: what waits for a worker",
    [
        Shown(
            id=1,
            title="Images in lanes",
            what="Images that wait or are being computed. It grows while more is submitted than workers compute.",
            queries=[
                Query(f"max by (model, lane) (darkroom_lane_entries{{{MODEL}}})", "{{model}} {{lane}}"),
                Query(f"max by (model) (darkroom_shadow_lane_entries{{{MODEL}}})", "{{model}} for its shadow"),
            ],
            unit=Unit.IMAGES,
        ),
        Shown(
            id=2,
            title="Oldest image that a person waits for",
            what="Age of the oldest image in the interactive lane. Where workers compute, there is more work than "
            "they can take: add some. Where they do not, look at their log.",
            queries=[
                Query(f'max by (model) (darkroom_lane_oldest_age_seconds{{{MODEL}, lane="interactive"}})', "{{model}}")
            ],
            unit=Unit.SECONDS,
            alerts=["PeopleWait"],
        ),
        Shown(
            id=3,
            title="Oldest image of a bulk upload",
            what="Images that people wait for go first, so these may wait long. Add workers, or wait.",
            queries=[Query(f'max by (model) (darkroom_lane_oldest_age_seconds{{{MODEL}, lane="bulk"}})', "{{model}}")],
            unit=Unit.SECONDS,
            alerts=["BulkWaits"],
        ),
        Shown(
            id=4,
            title="Time in the lane until a worker takes it",
            what="Of images taken in the last minutes; those that still wait are not in it.",
            queries=[
                Query(quantile(0.5, "darkroom_queue_seconds", by="lane", where=MODEL), "{{lane}}: half within"),
                Query(quantile(0.99, "darkroom_queue_seconds", by="lane", where=MODEL), "{{lane}}: 99% within"),
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=5,
            title="Submitted and computed",
            what="Where submitted (with `queued` as outcome) stays above computed, the lanes grow.",
            queries=[
                Query(
                    per_second("darkroom_submissions_total", where=f'{MODEL}, outcome="queued"'),
                    "submitted to be computed",
                ),
                Query(per_second("darkroom_images_total", where=MODEL), "computed"),
            ],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Shown(
            id=6,
            title="Memory of lanes",
            what="Which lane fills Redis. Large images are kept beside the lanes and are not in it.",
            queries=[Query(f"max by (model, lane) (darkroom_lane_bytes{{{MODEL}}})", "{{model}} {{lane}}")],
            unit=Unit.BYTES,
        ),
    ],
)
WORKERS: Final = Row(
    "Predict workers",
    [
        Shown(
            id=7,
            title="Workers that serve a model",
            what="A worker counts until 10 s after its last heartbeat. None: images wait until one is back. No line "
            "at all: no model has a champion, or no record worker runs.",
            queries=[Query(f"max by (model) (darkroom_workers{{{MODEL}}})", "{{model}}")],
            alerts=["NoWorker", "NoModelServed"],
        ),
        Shown(
            id=8,
            title="Images computed, by outcome",
            what="Outcome `succeeded`, or the error code that an image failed with.",
            queries=[
                Query(per_second("darkroom_images_total", by="model, outcome", where=MODEL), "{{model}} {{outcome}}")
            ],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Shown(
            id=9,
            title="Images in a micro-batch",
            what="Mean of what one forward pass takes. It is near 1 while there is little to do, and grows under load "
            "up to the model's `max_batch_size`.",
            queries=[Query(mean("darkroom_batch_size", by="model", where=MODEL), "{{model}}")],
            unit=Unit.IMAGES,
        ),
        Shown(
            id=10,
            title="Images taken over from lost workers",
            what="Not 0 for long: workers are killed while they compute. `docker compose logs predict` says by what, "
            "most often by the memory limit.",
            queries=[Query(per_second("darkroom_reclaimed_total", by="model", where=MODEL), "{{model}}")],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Shown(
            id=11,
            title="Celery tasks that nobody executed yet",
            what="Bells that wake a worker. Workers poll every 2 s besides, so work goes on with some delay where a "
            "worker runs. Restart what consumes the queue.",
            queries=[Query("max by (queue) (darkroom_bells_waiting)", "{{queue}}")],
            alerts=["BellsUnanswered"],
        ),
        Shown(
            id=12,
            title="Since a role last polled for work",
            what="A role that does not poll does no work, even where its process runs. Its log says why. Shown up to "
            "an hour.",
            queries=[Query("clamp_max(max by (role) (darkroom_role_silence_seconds), 3600)", "{{role}}")],
            unit=Unit.SECONDS,
            alerts=["RoleMissing"],
        ),
    ],
)
RECORDING: Final = Row(
    "Recording: from Redis to Postgres",
    [
        Shown(
            id=13,
            title="Oldest result without a row",
            what="A row is normally written 0.1 s after its prediction's end. Later: Postgres is away, or too slow. "
            "Polls are answered all the same; history and webhooks wait.",
            queries=[Query("max(darkroom_recorder_lag_seconds)", "behind")],
            unit=Unit.SECONDS,
            alerts=["RecorderLags", "RecorderStands"],
        ),
        Shown(
            id=14,
            title="Results without a row",
            what="They are in Redis until their row is committed, and fill it while Postgres is away.",
            queries=[Query("max(darkroom_finished_entries)", "waiting")],
        ),
        Shown(
            id=15,
            title="Time of a commit",
            what="To commit a set of ended predictions. Slow commits: Postgres' disk, or its locks.",
            queries=[
                Query(quantile(0.5, "darkroom_record_seconds"), "half within"),
                Query(quantile(0.99, "darkroom_record_seconds"), "99% within"),
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=16,
            title="Commits that failed, in the last 2 minutes",
            what="They are repeated; nothing is lost. `recording_failed` in `docker compose logs record` says why.",
            queries=[Query("sum(increase(darkroom_record_failures_total[2m]))", "failed")],
            alerts=["RecordingFails"],
        ),
        Shown(
            id=17,
            title="Since the last sweep of upkeep",
            what="Sweeps enforce deadlines and end uploads whose gateway died. Beat schedules one every 2 s. Shown up "
            "to an hour.",
            queries=[Query("clamp_max(time() - max(darkroom_sweep_timestamp_seconds), 3600)", "since the last")],
            unit=Unit.SECONDS,
            alerts=["SweepsStand"],
        ),
        Shown(
            id=18,
            title="The queue's state is known",
            what="1 while Redis answers the record worker. At 0 the other panels about lanes, workers and Redis' "
            "memory are empty, and so are their alerts.",
            queries=[Query("max(darkroom_queue_visible)", "known")],
            alerts=["QueueNotVisible"],
            highest=1,
        ),
    ],
)
REDIS: Final = Row(
    "Redis",
    [
        Shown(
            id=19,
            width=6,
            title="Memory in use, of maxmemory",
            what="Bulk uploads pause at 60%; at 80% every submission is refused with 503. Give Redis more memory, or "
            "add predict workers where images wait.",
            queries=[Query("darkroom:redis_memory_used:ratio", "in use")],
            unit=Unit.SHARE,
            alerts=["RedisFillsUp", "RedisFull"],
            highest=1,
        ),
        Shown(
            id=20,
            width=6,
            title="Memory",
            what="In use: images that wait, cached outputs, and jobs until their time to live ends.",
            queries=[
                Query("max(darkroom_redis_memory_used_bytes)", "in use"),
                Query("max(darkroom_redis_memory_limit_bytes)", "maxmemory"),
            ],
            unit=Unit.BYTES,
        ),
        Shown(
            id=22,
            width=6,
            title="CPU of Redis' main thread",
            what="It executes every command, one after the other. Near 100% Redis is the limit of the whole service: "
            "large images are what costs it most. Let clients send smaller ones, set REDIS_IO_THREADS, or give each "
            "model's traffic a Darkroom of its own.",
            queries=[Query(f"max(rate(darkroom_redis_cpu_seconds_total{WINDOW}))", "in use")],
            unit=Unit.SHARE,
            highest=1,
        ),
        Number(
            id=21,
            title="Dropped for lack of memory, last hour",
            what="Cached outputs and recorded predictions dropped before their time. Nothing is lost, but fewer "
            "images are answered from the cache. Give Redis more memory.",
            queries=[Query("sum(increase(darkroom_evicted_total[1h]))")],
            width=6,
            height=8,
            orange=1,
        ),
    ],
)
BOARD: Final = Board(
    name="queue",
    title="Queue",
    what="What waits in Redis, who works on it, and how results reach Postgres.",
    rows=[LANES, WORKERS, RECORDING, REDIS],
)
