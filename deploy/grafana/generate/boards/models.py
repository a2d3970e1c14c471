"""Versions of models: which serve, what each answers, the shadow, loads and memory."""

from typing import Final

from deploy.grafana.generate.boards import shadow
from deploy.grafana.generate.layout import Board, Row
from deploy.grafana.generate.panels import Query, Shown, Table, Unit
from deploy.grafana.generate.promql import MODEL, VERSION, per_second, quantile, share

PREDICTIONS: Final = "darkroom_predictions_total"
COMPUTING: Final = "darkroom_prediction_computing_seconds"
OF_VERSION: Final = per_second(PREDICTIONS, by="model, version", where=VERSION)
SERVING: Final = Row(
    "Which version serves",
    [
        Table(
            id=1,
            title="Versions that workers have loaded, by alias",
            what="`workers` is how many have the version loaded that the alias names. Two champions at once are "
            "normal for the seconds of a promotion.",
            queries=[Query(f"count by (model, alias, version) (darkroom_model_version_serving{{{VERSION}}} == 1)")],
            columns=["model", "alias", "version"],
            value="workers",
            width=9,
        ),
        Shown(
            id=2,
            title="Versions that can't be loaded",
            what="1 while an alias names a version that workers failed to load; the version before it goes on "
            "serving. GET /v1/models/<name> says why.",
            queries=[
                Query(
                    f"max by (model, version) (darkroom_model_version_failing{{{VERSION}}}) or on () vector(0)",
                    "{{model}} version {{version}}",
                )
            ],
            alerts=["ModelVersionFails"],
            highest=1,
            width=5,
        ),
        Shown(
            id=3,
            title="Champions that went back",
            what="1 while the alias champion names a version that failed too many images; the champion before it "
            "serves. GET /v1/models/<name> says how many failed and why.",
            queries=[
                Query(
                    f"max by (model, version) (darkroom_champion_went_back{{{VERSION}}}) or on () vector(0)",
                    "{{model}} version {{version}}",
                )
            ],
            alerts=["ChampionWentBack"],
            highest=1,
            width=5,
        ),
        Shown(
            id=21,
            title="Canaries that went back",
            what="1 for a day from when the model's last canary went back; the champion answers everything. "
            "`darkroom models canary <name> --status` says why.",
            queries=[
                Query(
                    f"max by (model, version) (darkroom_canary_went_back{{{VERSION}}}) or on () vector(0)",
                    "{{model}} version {{version}}",
                )
            ],
            alerts=["CanaryWentBack"],
            highest=1,
            width=5,
        ),
    ],
)
ANSWERS: Final = Row(
    "What each version answers",
    [
        Shown(
            id=4,
            title="Predictions by version and variant",
            what="Ended predictions. `variant` is the alias that chose the version, its number where a client named "
            "that, or `pipeline`.",
            queries=[
                Query(
                    per_second(PREDICTIONS, by="model, version, variant", where=VERSION),
                    "{{model}} {{version}} {{variant}}",
                )
            ],
            unit=Unit.IMAGES_A_SECOND,
            stacked=True,
        ),
        Shown(
            id=5,
            title="Share of a model's predictions",
            what="How the traffic is split: of a canary or challenger it should be near the share that it was given.",
            queries=[
                Query(
                    f"{OF_VERSION} / on (model) group_left {per_second(PREDICTIONS, by='model', where=MODEL)}",
                    "{{model}} {{version}}",
                )
            ],
            unit=Unit.SHARE,
            highest=1,
        ),
        Shown(
            id=6,
            title="Share of a version's predictions that failed",
            what="For whatever reason, broken images included, so compare the versions of a model with each other: "
            "they get the same pictures.",
            queries=[
                Query(
                    share(
                        per_second(PREDICTIONS, by="model, version", where=f'{VERSION}, status="failed"'),
                        OF_VERSION,
                        by="model, version",
                    ),
                    "{{model}} {{version}}",
                )
            ],
            unit=Unit.SHARE,
        ),
    ],
)
LATENCY: Final = Row(
    "How long each version computes",
    [
        Shown(
            id=19,
            title="Half of the images within",
            what="From an image's pull by a worker to its end: decoding, forward pass and writing of its whole "
            "micro-batch. Waiting in the lane is not in it, so versions that share the traffic can be compared.",
            queries=[
                Query(quantile(0.5, COMPUTING, by="model, version", where=VERSION), "{{model}} {{version}}"),
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
        Shown(
            id=20,
            title="99% of the images within",
            what="A canary that is slow here but not in the panel beside it is slow for some pictures only: large "
            "ones, or ones computed again alone.",
            queries=[
                Query(quantile(0.99, COMPUTING, by="model, version", where=VERSION), "{{model}} {{version}}"),
            ],
            unit=Unit.SECONDS,
            width=12,
        ),
    ],
)
LOADING: Final = Row(
    "Loading and memory",
    [
        Shown(
            id=12,
            title="Versions loaded, failed and unloaded",
            what="Each minute, of all workers. Loads and unloads that go on without promotions: more models than fit "
            "in memory take turns, and each turn costs a load. Give the workers fewer models, or more memory.",
            queries=[
                Query(
                    f"60 * {per_second('darkroom_model_loads_total', by='model, outcome', where=MODEL)}",
                    "{{model}} {{outcome}}",
                ),
                Query(
                    f"60 * ({per_second('darkroom_model_unloads_total', by='model', where=MODEL)} "
                    f"or {per_second('darkroom_model_loads_total', by='model', where=MODEL)} * 0)",
                    "{{model}} unloaded",
                ),
            ],
        ),
        Shown(
            id=13,
            title="Time of a load since the worker started",
            what="Mean, download and warm-up included. The version before serves meanwhile.",
            queries=[
                Query(
                    f"sum by (model) (darkroom_model_load_seconds_sum{{{MODEL}}}) "
                    f"/ sum by (model) (darkroom_model_load_seconds_count{{{MODEL}}})",
                    "{{model}}",
                )
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=14,
            title="Memory of a loaded version",
            what="In one worker, as estimated: its weights and what its warm-up took; on the GPU where it computes "
            "there.",
            queries=[
                Query(
                    f"max by (model, version) (darkroom_model_memory_bytes{{{VERSION}}})",
                    "{{model}} {{version}}",
                )
            ],
            unit=Unit.BYTES,
        ),
    ],
)
PICTURES: Final = Row(
    "Pictures kept to learn from",
    [
        Shown(
            id=15,
            title="Pictures, by outcome, in 15 minutes",
            what="`kept` was written, `there` was in the store already. `failed`: the store refuses, and the log line "
            "`pictures_not_kept` says why. `no_room`: it is too slow; keep a smaller share. No prediction is "
            "affected.",
            queries=[Query("sum by (outcome) (increase(darkroom_pictures_total[15m]))", "{{outcome}}")],
            unit=Unit.COUNT,
            alerts=["PicturesNotKept"],
            width=12,
        ),
        Shown(
            id=16,
            title="What the store holds",
            what="As the last sweep of the store saw it; without a store there is nothing.",
            queries=[Query("max(darkroom_pictures_stored_bytes)", "bytes of pictures")],
            unit=Unit.BYTES,
            width=12,
        ),
    ],
)
BOARD: Final = Board(
    name="models",
    title="Model versions",
    what="Which version of a model serves, how the versions differ, and how a shadow compares.",
    rows=[SERVING, ANSWERS, LATENCY, shadow.ROW, LOADING, PICTURES],
    variables=("model", "version"),
)
