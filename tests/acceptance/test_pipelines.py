"""Ensembles and chains over HTTP, from a gateway with one model: `digits` twice, by two references."""

import io
import json
import zipfile
from typing import Any

import pytest

from tests.support import waiting
from tests.support.api_client import Door
from tests.support.pictures import renewed

ENSEMBLE = {"models": "digits,digits:1"}
CHAIN = {"model": "digits", "then": json.dumps({"model": "digits:1", "when": {"class": list("0123456789")}})}
NEVER = {"model": "digits", "then": json.dumps({"model": "digits:1", "when": {"class": "cat"}})}


def predicted(door: Door, image: bytes, fields: dict[str, str], **headers: str) -> Any:
    sent = door.http.post(
        "/v1/predictions", data=fields, files={"image": ("a.png", image)}, headers={"Prefer": "wait=60", **headers}
    )
    assert sent.status_code in {200, 202}, sent.text
    return door.ended(sent.json()["id"])


def test_an_ensemble_of_one_model_answers_what_the_model_does(door: Door, scan: bytes) -> None:
    image = renewed(scan)
    alone, found = predicted(door, image, {"model": "digits"}), predicted(door, image, ENSEMBLE)
    assert found["status"] == "succeeded", found
    assert (found["model"], found["variant"], found["source"]) == ("digits+digits:1", "pipeline", "model")
    output = found["output"]
    (step,) = output.pop("pipeline")["steps"]
    assert output["predicted_class"] == alone["output"]["predicted_class"]
    assert output["confidence"] == pytest.approx(alone["output"]["confidence"], abs=1e-5)
    assert [said["version"] for said in step["models"]] == ["1", "1"]


def test_the_same_picture_is_answered_from_the_cache_and_listed_by_its_pipeline(door: Door, scan: bytes) -> None:
    image = renewed(scan)
    first, again = predicted(door, image, ENSEMBLE), predicted(door, image, ENSEMBLE)
    assert (first["source"], again["source"]) == ("model", "cache")
    assert first["output"] == again["output"]
    listed = door.get("/v1/predictions", params={"variant": "pipeline", "limit": 100})["results"]
    assert {first["id"], again["id"]} <= {one["id"] for one in listed}


def test_a_chain_goes_on_only_where_its_condition_is_met(door: Door, scan: bytes) -> None:
    image = renewed(scan)
    met, unmet = predicted(door, image, CHAIN), predicted(door, image, NEVER)
    assert len(met["output"]["pipeline"]["steps"][1]["results"]) == 1
    assert unmet["output"]["pipeline"]["steps"][1]["results"] == []
    assert met["output"]["predicted_class"] == unmet["output"]["predicted_class"]


def test_an_idempotency_key_is_of_the_pipeline_as_it_was_asked_for(door: Door, scan: bytes) -> None:
    image, key = renewed(scan), {"Idempotency-Key": f"pipeline-{id(scan)}"}
    first, again = predicted(door, image, ENSEMBLE, **key), predicted(door, image, ENSEMBLE, **key)
    assert first["id"] == again["id"]
    other = door.http.post(
        "/v1/predictions", data={**ENSEMBLE, "weights": "2,1"}, files={"image": ("a.png", image)}, headers=key
    )
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")


def test_a_bulk_upload_is_of_one_pipeline_and_its_csv_has_the_answers(door: Door, scan: bytes) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", renewed(scan))
        archive.writestr("broken.png", b"no image")
    sent = door.http.post(
        "/v1/batches", data=CHAIN, files={"archive": ("a.zip", file.getvalue())}, headers={"Prefer": "wait=60"}
    )
    assert sent.status_code in {200, 202}, sent.text
    batch = sent.json()
    assert batch["model"] == "digits>digits:1"
    place = f"/v1/batches/{batch['id']}"
    waiting.until(lambda: door.get(place)["status"] == "completed")
    assert door.get(place)["request_counts"] == {"total": 4, "succeeded": 3, "failed": 1, "canceled": 0}
    lines = door.http.get(f"{place}/results", params={"format": "csv"}).text.splitlines()
    assert lines[0].startswith("custom_id,id,status,predicted_class,confidence")
    assert [line.split(",")[2] for line in lines[1:]] == ["succeeded"] * 3 + ["failed"]


def test_a_canceled_bulk_upload_of_a_pipeline_leaves_nothing_in_its_lane(door: Door, scan: bytes) -> None:
    with door.workers_stopped():
        files = [("images", (f"{number}.png", renewed(scan))) for number in range(3)]
        batch = door.http.post("/v1/batches", data=ENSEMBLE, files=files).json()
        lane = f"lane:digits:bulk:{batch['id']}"
        assert door.redis.xlen(lane) == 3
        canceled = door.http.post(f"/v1/batches/{batch['id']}/cancel").json()
        assert canceled["status"] == "canceled"
        assert door.redis.xlen(lane) == 0


@pytest.mark.parametrize(
    ("fields", "status", "pointer"),
    [
        ({"models": "digits,nobody"}, 404, None),
        ({"models": "digits,digits"}, 422, "/models"),
        ({"models": "digits,digits:1", "weights": "1"}, 422, "/weights"),
        ({"model": "digits", "models": "digits"}, 422, "/models"),
        ({"model": "digits", "then": "{"}, 422, "/then"),
        ({"model": "digits", "then": '{"model": "digits", "then": {"model": "digits"}}'}, 422, "/then/then"),
        ({"model": "digits", "combine": "best"}, 422, "/combine"),
        ({"models": "digits,nobody", "on_error": "never"}, 422, "/on_error"),
    ],
)
def test_a_wrong_pipeline_is_refused(
    door: Door, scan: bytes, fields: dict[str, str], status: int, pointer: str | None
) -> None:
    for path, name in (("/v1/predictions", "image"), ("/v1/batches", "images")):
        refused = door.http.post(path, data=fields, files={name: ("a.png", scan)})
        assert refused.status_code == status, refused.text
        if pointer:
            assert refused.json()["errors"][0]["pointer"] == pointer


def test_a_member_that_nobody_serves_degrades_the_answer_where_that_is_asked_for(door: Door, scan: bytes) -> None:
    found = predicted(door, renewed(scan), {"models": "digits,nobody", "on_error": "degrade"})
    assert found["status"] == "succeeded", found
    assert found["output"]["pipeline"]["degraded"] is True
    assert found["output"]["pipeline"]["steps"][0]["models"][1]["error_code"] == "model_unavailable"


@pytest.mark.parametrize("then", [{}, {"then": '{"model": "digits"}'}])
def test_where_nobody_serves_a_first_model_it_is_told_what_serves(
    door: Door, scan: bytes, then: dict[str, str]
) -> None:
    for on_error in ("fail", "degrade"):
        asked = {"models": "nobody,noone", "on_error": on_error, **then}
        refused = door.http.post("/v1/predictions", data=asked, files={"image": ("a.png", scan)})
        assert refused.status_code == 404
        assert refused.json()["detail"].startswith("no model 'nobody' is served; there is digits")


def test_a_pipeline_of_the_settings_is_asked_for_by_its_name(door: Door, scan: bytes) -> None:
    found = predicted(door, renewed(scan), {"model": "twice"})
    assert (found["model"], found["variant"]) == ("twice", "pipeline")
    assert [said["version"] for said in found["output"]["pipeline"]["steps"][0]["models"]] == ["1", "1"]
    listed = {one["name"]: one for one in door.get("/v1/models")["results"]}
    assert listed["twice"]["pipeline"]["models"] == ["digits", "digits:1"]
