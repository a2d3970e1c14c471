"""Deliveries of webhooks."""

from typing import Final

from deploy.grafana.generate.layout import Board, Row
from deploy.grafana.generate.panels import Number, Query, Shown, Unit
from deploy.grafana.generate.promql import per_second, quantile

ATTEMPTS: Final = "darkroom_webhook_attempts_total"
DELIVERIES: Final = Row(
    "Deliveries",
    [
        Shown(
            id=1,
            title="Attempts, by outcome",
            what="`delivered`: the receiver answered 2xx. `pending`: it failed and is tried again. `exhausted`: given "
            "up after nine attempts in a day, or a 410.",
            queries=[Query(per_second(ATTEMPTS, by="outcome"), "{{outcome}}")],
            unit=Unit.A_SECOND,
            stacked=True,
        ),
        Shown(
            id=2,
            title="Share of attempts that failed, last 15 minutes",
            what="One receiver that fails is its owner's matter. Where most fail, look at this side: network, DNS, "
            "certificates. `webhook_attempted` in `docker compose logs webhooks` has destination and error of each "
            "attempt that failed.",
            queries=[
                Query(
                    f'sum(rate({ATTEMPTS}{{outcome!="delivered"}}[15m])) / sum(rate({ATTEMPTS}[15m]))',
                    "failed",
                )
            ],
            unit=Unit.SHARE,
            alerts=["DeliveriesFail"],
            highest=1,
        ),
        Number(
            id=3,
            title="Given up in the last hour",
            what="Not tried again. `webhook_attempted` with the outcome exhausted, in `docker compose logs webhooks`, "
            "says to whom and why. Their owner can have them tried once more: POST "
            "/v1/webhook-deliveries/<id>/redeliver.",
            queries=[Query(f'sum(increase({ATTEMPTS}{{outcome="exhausted"}}[1h]))')],
            alerts=["DeliveriesGivenUp"],
            orange=1,
            width=8,
            height=8,
        ),
        Shown(
            id=4,
            title="Oldest webhook that is due",
            what="Due and not tried yet. A failing receiver is left alone for up to 10 minutes, and its webhooks are "
            "due meanwhile. Beyond that no worker runs, or one receiver has more than it can take.",
            queries=[Query("max(darkroom_webhook_overdue_seconds)", "overdue")],
            unit=Unit.SECONDS,
            alerts=["WebhooksWait"],
        ),
        Shown(
            id=5,
            title="Time of an attempt",
            what="From looking up the receiver's name to the end of its answer.",
            queries=[
                Query(quantile(0.5, "darkroom_webhook_attempt_seconds"), "half within"),
                Query(quantile(0.99, "darkroom_webhook_attempt_seconds"), "99% within"),
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=6,
            title="Webhook workers",
            what="Processes that answer Prometheus. None: no webhook is sent; those due wait in Postgres.",
            queries=[Query('sum(up{job="webhooks"})', "up")],
            alerts=["WebhookWorkerDown"],
        ),
        Shown(
            id=7,
            title="Since the webhook worker last polled for work",
            what="It polls every 2 s. Where its process runs and this grows, it hangs or waits for Redis or Postgres: "
            "its log says so. Shown up to an hour.",
            queries=[
                Query('clamp_max(max(darkroom_role_silence_seconds{role="webhooks"}), 3600)', "since its last poll")
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
        Shown(
            id=8,
            title="Results that have no row yet",
            what="A webhook is created with its prediction's row. While these grow, webhooks are late though their "
            "worker is well: look at the recording on the page Queue.",
            queries=[Query("max(darkroom_finished_entries)", "results")],
            width=12,
        ),
    ],
)
BOARD: Final = Board(
    name="webhooks",
    title="Webhooks",
    what="Whether webhooks are sent, and whether they arrive.",
    rows=[DELIVERIES],
    variables=(),
)
