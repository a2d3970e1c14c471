from dataclasses import asdict, replace

from cli.status.tried_versions import ShadowFigures, TriedVersions, tried_versions
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from tests.support.status_snapshots import published

ONE, TWO = (
    Version(number=VersionNumber(number), key=VersionKey(f"key{number}"), created_at="2026-11-27") for number in "12"
)
ROUTE = Route(
    model=ModelName("digits"),
    description="",
    aliases={"champion": ONE.number, "shadow": TWO.number},
    versions={ONE.number: ONE, TWO.number: TWO},
    shadow_percent=25,
    canary="version 2 gets 5% since 2026-11-27 07:40 UTC (step 1 of 4): waits",
)
PROCESSES = [
    published(
        "predict",
        "record",
        values={
            "shadow_predictions_total": {
                ("digits", version, "succeeded", "yes"): 40.0,
                ("digits", version, "failed", "unknown"): 2.0,
            },
            "shadow_skipped_total": {("digits", "heavy"): 3.0, ("digits", "lane_full"): 0.0},
        },
        queue={"shadow_entries": {"digits": 7, "other": 99}},
    )
    for version in "23"
]


def test_a_shadow_has_its_images_of_all_processes_and_only_its_own() -> None:
    [found] = tried_versions({"digits": ROUTE}, PROCESSES)
    assert found.shadow == ShadowFigures(version="2", percent=25, waiting=7, recorded=42, skipped={"heavy": 6})
    assert found.canary == ROUTE.canary
    assert found.shadow.words() == ("version 2 is the shadow of 25%: 7 waiting, 42 recorded, 6 (6 heavy) skipped")


def test_a_shadow_of_which_no_process_tells_anything_has_none() -> None:
    [found] = tried_versions({"digits": replace(ROUTE, shadow_percent=0, canary="")}, [])
    assert found.shadow is not None
    assert asdict(found.shadow) == {"version": "2", "percent": 0, "waiting": 0, "recorded": 0, "skipped": {}}
    assert found.shadow.words().endswith("0 skipped")


def test_models_that_try_nothing_are_left_out_and_an_ended_canary_is_told() -> None:
    plain = replace(ROUTE, aliases={"champion": ONE.number}, canary="")
    assert tried_versions({"a": plain}, PROCESSES) == []
    ended = replace(plain, canary="version 2 went back at 2026-11-27 07:40 UTC: it failed")
    assert tried_versions({"b": ended, "a": plain}, PROCESSES) == [
        TriedVersions(model="b", shadow=None, canary=ended.canary)
    ]
