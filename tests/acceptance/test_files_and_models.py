"""Uploaded files can be named in submissions until they expire; /v1/models lists what serves; /health what is down."""

import httpx
import pytest

from shared.domain.identifiers import is_uuid
from tests.support.api_client import Door, Json, expect_problem
from tests.support.pictures import renewed


def uploaded(door: Door, image: bytes, name: str = "7.png", media_type: str = "image/png") -> Json:
    answer = door.post("/v1/files", files={"content": (name, image, media_type)})
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def test_an_uploaded_file_has_every_member_and_none_is_null(door: Door, image: bytes) -> None:
    answer = door.post("/v1/files", files={"content": ("7.png", image, "image/png")})
    file = answer.json()
    members = "id name content_type size etag checksums metadata created_at expires_at urls"
    assert set(file) == set(members.split())
    assert None not in file.values()
    assert is_uuid(file["id"])
    assert (file["name"], file["content_type"], file["size"], file["metadata"]) == (
        "7.png",
        "image/png",
        len(image),
        {},
    )
    assert len(file["checksums"]["sha256"]) == 64
    assert file["created_at"] < file["expires_at"]
    assert answer.headers["location"] == file["urls"]["get"] == f"{door.url}/v1/files/{file['id']}"
    assert door.get(file["urls"]["get"]) == file


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", "image/jpeg"])
def test_a_file_without_a_name_or_type_is_sniffed(door: Door, image: bytes, media_type: str) -> None:
    file = uploaded(door, image, name="upload", media_type=media_type)
    assert (file["name"], file["content_type"]) == ("upload.png", "image/png")


def test_a_files_metadata_may_be_a_field_or_a_json_part(door: Door, image: bytes) -> None:
    content, metadata = {"content": ("7.png", image)}, '{"who": "ä"}'
    as_field = door.post("/v1/files", files=content, data={"metadata": metadata})
    as_part = door.post("/v1/files", files=content | {"metadata": ("m.json", metadata.encode(), "application/json")})
    assert as_field.json()["metadata"] == as_part.json()["metadata"] == {"who": "ä"}


def test_files_are_listed_newest_first_page_by_page(door: Door, scan: bytes) -> None:
    made = [uploaded(door, renewed(scan))["id"] for _ in range(3)]
    first = door.get("/v1/files?limit=2")
    assert first["next"].startswith(f"{door.url}/v1/files?")
    second = door.get(first["next"])
    listed = [file["id"] for file in first["results"] + second["results"]]
    assert len(first["results"]) == 2
    assert set(listed[:3]) == set(made)
    assert listed == sorted(listed, reverse=True)


def test_an_uploaded_file_can_be_named_by_url_whatever_the_host(door: Door, image: bytes) -> None:
    file = uploaded(door, image)
    for url in (file["urls"]["get"], f"https://nowhere.example/behind/proxy/v1/files/{file['id']}?x=1#y"):
        answer = door.post(json={"model": "digits", "input": {"image": url}}, headers={"Prefer": "wait"})
        found = answer.json()
        assert (answer.status_code, found["status"]) == (200, "succeeded")
        assert found["input"]["image"]["sha256"] == file["checksums"]["sha256"]
        assert found["input"]["image"]["filename"] == "7.png"


def test_a_deleted_file_is_unknown_and_its_predictions_stay(door: Door, image: bytes) -> None:
    file = uploaded(door, image)
    body = {"input": {"image": file["urls"]["get"]}}
    id = door.post(json=body).json()["id"]
    answer = door.http.delete(file["urls"]["get"])
    assert (answer.status_code, answer.content) == (204, b"")
    expect_problem(door.http.get(file["urls"]["get"]), 404, "unknown-file")
    expect_problem(door.http.delete(file["urls"]["get"]), 404, "unknown-file")
    expect_problem(door.post(json=body), 404, "unknown-file")
    assert door.ended(id)["status"] == "succeeded"
    assert file["id"] not in [found["id"] for found in door.get("/v1/files")["results"]]


def test_a_file_that_is_no_image_is_stored_and_refused_as_an_image(door: Door) -> None:
    file = uploaded(door, b"hello", name="a.txt", media_type="text/plain")
    assert (file["name"], file["content_type"]) == ("a.txt", "text/plain")
    expect_problem(door.post(json={"input": {"image": file["urls"]["get"]}}), 415, "unsupported-image")


def test_a_model_shows_its_serving_versions(door: Door) -> None:
    model = door.get("/v1/models/digits")
    champion = model["aliases"]["champion"]
    assert (model["owner"], model["name"], model["visibility"]) == ("darkroom", "digits", "private")
    assert model["url"] == f"{door.url}/v1/models/darkroom/digits"
    assert model["latest_version"]["id"] == champion
    assert model["traffic"] == {"champion": 100}
    assert (model["failed_versions"], model["lane_depth"]) == ([], 0)
    assert model["workers"] == len(door.predict_pids)
    assert model["max_batch_size"] >= 1
    assert isinstance(model["run_count"], int)
    version = next(found for found in model["versions"] if found["version"] == champion)
    assert version["aliases"] == ["champion"]
    assert version["classes"] == [str(digit) for digit in range(10)]
    assert version["num_classes"] == 10
    assert (version["decode"], version["precision"], version["agreement"]) == ("exact", "fp32", None)
    assert version["input"]["mode"] == "RGB"
    assert version["metrics"]["accuracy"] >= 0.97
    assert version["parameters"]["epochs"]


def test_a_model_is_the_same_on_every_path_and_in_the_list(door: Door) -> None:
    one = door.get("/v1/models/digits")
    page = door.get("/v1/models")
    found = [door.get(f"/v1/models/{path}") for path in ("darkroom/digits", "anybody/digits")]
    assert (page["next"], page["previous"]) == (None, None)
    listed = [card for card in page["results"] if card["pipeline"] is None]
    for other in (*found, *listed):
        assert other | {"run_count": 0} == one | {"run_count": 0}


def test_a_models_versions_are_listed_and_found_by_number_and_alias(door: Door) -> None:
    page = door.get("/v1/models/darkroom/digits/versions")
    champion = str(door.get("/v1/models/digits")["aliases"]["champion"])
    version = next(one for one in page["results"] if one["id"] == champion)
    assert (version["cog_version"], bool(version["created_at"])) == ("darkroom", True)
    assert set(version["openapi_schema"]["components"]["schemas"]) == {"Input", "Output"}
    for id in (version["id"], f"digits:{version['id']}", "champion", "digits@champion"):
        assert door.get(f"/v1/models/darkroom/digits/versions/{id}") == version


def test_health_is_ok_when_everything_runs(door: Door) -> None:
    assert door.get("/health/live") == {"status": "alive"}
    ready = door.http.get("/health/ready")
    body = ready.json()
    limits, used, roles = body.pop("limits"), body.pop("used"), body.pop("roles")
    assert (ready.status_code, body) == (200, {"status": "ready", "down": [], "degraded": []})
    assert {one["role"]: (one["state"], one["detail"]) for one in roles} == dict.fromkeys(
        ("record", "webhooks", "upkeep"), ("ready", "")
    )
    assert limits["wire"]["head_bytes"] == 32 * 1024
    assert 0 < used["memory_bytes"] < limits["memory_share"] * used["memory_limit_bytes"]
    assert used["lane_depths"].keys() == {"digits"}


def test_urls_in_answers_have_the_requests_host(door: Door, image: bytes) -> None:
    id = door.predicted(image)["id"]
    elsewhere = httpx.URL(door.url).copy_with(host="localhost")
    found = httpx.get(f"{elsewhere}/v1/predictions/{id}", trust_env=False).json()
    assert found["urls"]["get"] == f"{elsewhere}/v1/predictions/{id}"


def test_the_openapi_document_and_its_page_are_served(door: Door) -> None:
    assert door.get("/openapi.json")["openapi"].startswith("3.1")
    assert "swagger" in door.http.get("/docs").text.lower()
    assert "<title>Darkroom</title>" in door.http.get("/").text
