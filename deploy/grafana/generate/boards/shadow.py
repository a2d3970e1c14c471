"""The row of the shadow on the dashboard of model versions; its panels' ids are that dashboard's."""

from typing import Final

from deploy.grafana.generate.layout import Row
from deploy.grafana.generate.panels import Query, Shown, Unit
from deploy.grafana.generate.promql import MODEL, VERSION, WINDOW, mean, per_second, share

LEFT_OUT: Final = "lane_full|memory_high|results_full"
SHADOW: Final = "darkroom_shadow_predictions_total"
ROW: Final = Row(
    "Shadow: what a version would have answered",
    [
        Shown(
            id=7,
            title="Shadow predictions, by agreement with the champion",
            what="`no`: the shadow answered something else. `unknown`: one of the two failed, or the outputs are of a "
            "kind that is not compared.",
            queries=[
                Query(
                    per_second(SHADOW, by="model, version, agrees", where=VERSION),
                    "{{model}} {{version}} agrees: {{agrees}}",
                )
            ],
            unit=Unit.IMAGES_A_SECOND,
            stacked=True,
        ),
        Shown(
            id=8,
            title="Share that agrees",
            what="Of those that can be compared. It drops at a promotion, since the champion is then another.",
            queries=[
                Query(
                    share(
                        per_second(SHADOW, by="model, version", where=f'{VERSION}, agrees="yes"'),
                        per_second(SHADOW, by="model, version", where=f'{VERSION}, agrees=~"yes|no"'),
                        by="model, version",
                    ),
                    "{{model}} {{version}}",
                )
            ],
            unit=Unit.SHARE,
            highest=1,
        ),
        Shown(
            id=9,
            title="Images for the shadow: kept, skipped, waiting",
            what="Skipped by reason: `lane_full` and `memory_high` mean that the shadow is too slow for its share; "
            "give it a smaller one. Clients never wait for a shadow.",
            queries=[
                Query(per_second("darkroom_shadow_queued_total", by="model", where=MODEL), "{{model}} kept"),
                Query(
                    f"sum by (model, reason) (rate(darkroom_shadow_skipped_total{{{MODEL}}}{WINDOW})) "
                    f"or sum by (model) (rate(darkroom_shadow_queued_total{{{MODEL}}}{WINDOW})) * 0",
                    "{{model}} skipped {{reason}}",
                ),
            ],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Shown(
            id=10,
            title="Forward passes: champion's and shadow's",
            what="Mean time of a micro-batch's forward pass. Micro-batches of a shadow may have other sizes.",
            queries=[
                Query(mean("darkroom_forward_seconds", by="model", where=MODEL), "{{model}}"),
                Query(mean("darkroom_shadow_forward_seconds", by="model", where=MODEL), "{{model}} shadow"),
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
        Shown(
            id=11,
            title="Images that wait for the shadow",
            what="They are predicted while the workers have nothing else to do.",
            queries=[Query(f"max by (model) (darkroom_shadow_lane_entries{{{MODEL}}})", "{{model}}")],
            unit=Unit.IMAGES,
            width=12,
        ),
        Shown(
            id=17,
            title="Images that the shadow left out, in 15 minutes",
            what="For want of time or room; heavy images and unloaded versions, left out on purpose, do not count. "
            "Nobody waits for it, but the shadow's report is of fewer images. Give it a smaller share, or add predict "
            "workers.",
            queries=[
                Query(
                    f'sum by (model) (increase(darkroom_shadow_skipped_total{{{MODEL}, reason=~"{LEFT_OUT}"}}[15m])) '
                    f"or sum by (model) (increase(darkroom_shadow_queued_total{{{MODEL}}}[15m])) * 0",
                    "{{model}}",
                )
            ],
            unit=Unit.IMAGES,
            alerts=["ShadowNotKeepingUp"],
            width=12,
        ),
        Shown(
            id=18,
            title="Share of the shadow's predictions that failed, in 15 minutes",
            what="Of images that the champion answered. Do not promote such a version. The log line `shadow_failed` "
            "of a predict worker says why.",
            queries=[
                Query(
                    f'(sum by (model, version) (rate({SHADOW}{{{VERSION}, status="failed"}}[15m])) '
                    f"or sum by (model, version) (rate({SHADOW}{{{VERSION}}}[15m])) * 0) "
                    f"/ sum by (model, version) (rate({SHADOW}{{{VERSION}}}[15m]))",
                    "{{model}} {{version}}",
                )
            ],
            unit=Unit.SHARE,
            alerts=["ShadowFails"],
            width=12,
        ),
    ],
)
