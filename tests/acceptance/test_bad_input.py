"""Bodies that can't be read: each is answered with a problem of the contract, and nothing is enqueued."""

import http.client
import json

import pytest

from tests.support.api_client import Door, Json, expect_problem
from tests.support.pictures import black, data_url, encoded, opened, renewed
from tests.support.waiting import LIMIT

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MEGABYTE = 1024 * 1024
# A form may have so many bytes beside the image.
BESIDE_THE_IMAGE = 64 * 1024

pytestmark = pytest.mark.usefixtures("nothing_kept")


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", "application/json", "text/plain", ""])
def test_an_empty_body_is_a_bad_request(door: Door, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    expect_problem(door.post(content=b"", headers=headers), 400, "bad-request")


def test_an_empty_file_is_a_bad_request(door: Door) -> None:
    expect_problem(door.post(files={"image": b""}), 400, "bad-request")
    expect_problem(door.post(json={"input": {"image": "data:image/png;base64,"}}), 400, "bad-request")
    expect_problem(door.post("/v1/files", files={"content": b""}), 400, "bad-request")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello, what is this?", "text"),
        (b"%PDF-1.7 \x00\x01", "a PDF document"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"PK\x03\x04\x00\x00", "a ZIP archive"),
        (b"\x00\x00\x00\x18ftypavif\x00", "an AVIF image"),
        (bytes(range(256)), "bytes that are no image"),
    ],
)
def test_data_that_is_no_image_is_unsupported_and_its_format_named(door: Door, content: bytes, words: str) -> None:
    for answer in (
        door.submit(content),
        door.post(files={"image": ("7.png", content, "image/png")}),
        door.post(json={"input": {"image": data_url(content)}}),
    ):
        problem = expect_problem(answer, 415, "unsupported-image")
        assert problem["found"].startswith(words)
        assert problem["supported"] == ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "NPY"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_truncated_file_is_undecodable(door: Door, scan: bytes, format: str) -> None:
    whole = encoded(opened(scan), format)
    # Where a JPEG's pixels end is not seen before they are decoded.
    for kept in (24,) if format == "JPEG" else (len(whole) // 2, len(whole) - 40, 24):
        problem = expect_problem(door.submit(whole[:kept]), 422, "undecodable-image")
        assert problem["format"] == format
        assert format in problem["detail"]


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (1, 3)], ids=["one bit", "palette"])
def test_a_bomb_of_100_megapixels_is_too_large_before_it_is_decoded(door: Door, depth: int, colour: int) -> None:
    bomb = black(width=10_000, height=10_000, depth=depth, colour=colour)
    assert len(bomb) < 20_000
    problem = expect_problem(door.submit(bomb), 413, "image-too-large")
    assert (problem["size"], problem["limit"], problem["unit"]) == (100_000_000, 50_000_000, "pixels")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "video/mp4"]
)
def test_a_body_of_another_kind_is_unsupported(door: Door, image: bytes, media_type: str) -> None:
    problem = expect_problem(door.submit(image, media_type=media_type), 415, "unsupported-image")
    assert media_type in problem["found"]
    assert "multipart/form-data" in problem["supported"]


def test_a_body_without_a_content_type_is_unsupported(door: Door, image: bytes) -> None:
    expect_problem(door.post(content=image), 415, "unsupported-image")


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/v1/predictions", 20 * MEGABYTE),
        ("/v1/models/darkroom/digits/predictions", 20 * MEGABYTE),
        ("/v1/files", 20 * MEGABYTE + BESIDE_THE_IMAGE),
    ],
)
def test_50_megabytes_are_refused_before_they_are_sent(door: Door, path: str, limit: int) -> None:
    connection = http.client.HTTPConnection(door.url.removeprefix("http://"), timeout=LIMIT)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "multipart/form-data; boundary=b" if path == "/v1/files" else "image/png")
    connection.putheader("Content-Length", str(50 * MEGABYTE))
    # Only the head is sent: a server that waits for the body would never answer.
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/problem+json")
    problem = json.loads(answer.read())
    connection.close()
    assert problem["type"] == "/problems/image-too-large"
    assert (problem["size"], problem["limit"], problem["unit"]) == (50 * MEGABYTE, limit, "bytes")


def test_50_megabytes_of_undeclared_length_are_refused(door: Door) -> None:
    pieces = (bytes(MEGABYTE) for _ in range(50))
    answer = door.post(content=pieces, headers={"Content-Type": "image/png"})
    assert expect_problem(answer, 413, "image-too-large")["size"] <= 21 * MEGABYTE


def test_50_megabytes_are_refused_in_every_body(door: Door) -> None:
    large = bytes(50 * MEGABYTE)
    expect_problem(door.post(files={"image": large}), 413, "image-too-large")
    expect_problem(door.post(files={"content": large}, headers={}), 413, "image-too-large")
    body = b'{"input": {"image": "data:image/png;base64,' + b"A" * len(large) + b'"}}'
    expect_problem(door.post(content=body, headers={"Content-Type": "application/json"}), 413, "image-too-large")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff\xfe", b'{"a": 1}}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_bad_request(door: Door, body: bytes) -> None:
    answer = door.post(content=body, headers={"Content-Type": "application/json"})
    expect_problem(answer, 400, "bad-request")


@pytest.mark.parametrize(
    "image",
    [
        None,
        7,
        [],
        {},
        "",
        "7.png",
        "data:image/png;base64",
        "data:image/png;base64,***",
        "https://example.org/cat.png",
        "file:///etc/passwd",
        "ftp://localhost/v1/files/x",
        "http://localhost/v1/files/a/b",
        "http://[broken/v1/files/x",
        "/v1/files/x",
    ],
)
def test_an_image_that_is_neither_data_nor_an_uploaded_file_is_invalid(door: Door, image: object) -> None:
    problem = expect_problem(door.post(json={"model": "digits", "input": {"image": image}}), 422, "invalid-parameter")
    assert problem["errors"][0]["pointer"] == "/input/image"


def test_a_body_without_an_image_is_invalid(door: Door) -> None:
    bodies: list[Json] = [{}, {"input": None}, {"input": []}, {"input": {"picture": "data:,x"}}]
    for body in bodies:
        expect_problem(door.post(json=body), 422, "invalid-parameter")
    problem = expect_problem(door.post(files={"picture": b"x"}), 422, "invalid-parameter")
    assert problem["errors"][0]["pointer"] == "/image"


def test_two_images_are_a_bad_request(door: Door, image: bytes, scan: bytes) -> None:
    expect_problem(door.post(files=[("image", image), ("image", renewed(scan))]), 400, "bad-request")


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n",
        b"no boundary at all",
        b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc',
        b"--b--\r\n",
    ],
)
def test_a_broken_form_is_refused(door: Door, body: bytes) -> None:
    answer = door.post(content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code in (400, 422)
    expect_problem(answer, answer.status_code, "bad-request" if answer.status_code == 400 else "invalid-parameter")
    expect_problem(door.post(content=body, headers={"Content-Type": "multipart/form-data"}), 400, "bad-request")
