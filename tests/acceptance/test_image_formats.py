"""Every image format is decoded to the same digit that a person would see."""

import io
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.api_client import Door, expect_problem
from tests.support.batches import send_archive, send_images, zipped
from tests.support.pictures import black, data_url, encoded, opened, renewed

if TYPE_CHECKING:
    from tests.support.stack import Stack

Encode = Callable[[Image.Image], bytes]
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def digits(stack: "Stack", door: Door) -> dict[str, Image.Image]:
    """One scan of each class that the model predicts confidently, so that compression changes nothing."""
    chosen: dict[str, tuple[float, bytes]] = {}
    for path in stack.images[::6]:
        label, file = path.name[0], path.read_bytes()
        output = door.predicted(file)["output"]
        if output["predicted_class"] == label:
            chosen[label] = max(chosen.get(label, (0.0, b"")), (output["confidence"], file))
    assert len(chosen) == 10
    return {label: opened(file) for label, (_, file) in chosen.items()}


def rotated_photo(image: Image.Image) -> bytes:
    """A rotated JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=98, exif=exif)


def transparent(image: Image.Image) -> Image.Image:
    """Black ink on a transparent background."""
    ink = ImageOps.invert(image.convert("L"))
    return Image.merge("LA", (Image.new("L", image.size, 0), ink)).convert("RGBA")


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def animation(image: Image.Image, format: str) -> bytes:
    """The digit, then a blank page."""
    file = io.BytesIO()
    blank = Image.new("RGB", image.size, "white")
    image.save(file, format, save_all=True, append_images=[blank], duration=100)
    return file.getvalue()


def array(samples: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    file = io.BytesIO()
    np.save(file, samples)
    return file.getvalue()


def one_colour_clear(image: Image.Image) -> bytes:
    """A palette whose first colour, that of the paper, is black and marked transparent."""
    grey = np.asarray(image.convert("L"))
    indices = Image.fromarray((15 - grey // 16).astype(np.uint8), mode="P")
    indices.putpalette([0, 0, 0] + [value for level in range(1, 16) for value in [255 - level * 17] * 3])
    return encoded(indices, "PNG", transparency=0, bits=4)


FILES: dict[str, tuple[str, Encode]] = {
    "PNG": ("PNG", lambda image: encoded(image, "PNG")),
    "PNG, 16 colours": ("PNG", lambda image: encoded(image.quantize(16), "PNG")),
    "PNG, a clear colour": ("PNG", one_colour_clear),
    "PNG, alpha": ("PNG", lambda image: encoded(transparent(image), "PNG")),
    "PNG, grey and alpha": ("PNG", lambda image: encoded(transparent(image).convert("LA"), "PNG")),
    "PNG, 16 bits": ("PNG", lambda image: encoded(sixteen_bits(image), "PNG")),
    "PNG, grey": ("PNG", lambda image: encoded(image.convert("L"), "PNG")),
    "PNG, four times as large": ("PNG", lambda image: encoded(image.resize((128, 128)), "PNG")),
    "JPEG": ("JPEG", lambda image: encoded(image, "JPEG", quality=95)),
    "JPEG, progressive": ("JPEG", lambda image: encoded(image, "JPEG", quality=95, progressive=True)),
    "JPEG, grey": ("JPEG", lambda image: encoded(image.convert("L"), "JPEG", quality=95)),
    "JPEG, CMYK": ("JPEG", lambda image: encoded(image.convert("CMYK"), "JPEG", quality=95)),
    "JPEG, EXIF rotation": ("JPEG", rotated_photo),
    "WebP": ("WEBP", lambda image: encoded(image, "WEBP", quality=95)),
    "WebP, lossless": ("WEBP", lambda image: encoded(image, "WEBP", lossless=True)),
    "WebP, alpha": ("WEBP", lambda image: encoded(transparent(image), "WEBP", lossless=True)),
    "WebP, animated": ("WEBP", lambda image: animation(image, "WEBP")),
    "GIF": ("GIF", lambda image: encoded(image, "GIF")),
    "GIF, animated": ("GIF", lambda image: animation(image, "GIF")),
    "BMP": ("BMP", lambda image: encoded(image, "BMP")),
    "BMP, 16 colours": ("BMP", lambda image: encoded(image.quantize(16), "BMP")),
    "TIFF": ("TIFF", lambda image: encoded(image, "TIFF")),
    "TIFF, LZW": ("TIFF", lambda image: encoded(image, "TIFF", compression="tiff_lzw")),
    "TIFF, CMYK": ("TIFF", lambda image: encoded(image.convert("CMYK"), "TIFF")),
    "TIFF, 16 bits": ("TIFF", lambda image: encoded(sixteen_bits(image), "TIFF")),
    "NumPy": ("NPY", lambda image: array(np.asarray(image.convert("RGB")))),
    "NumPy, grey": ("NPY", lambda image: array(np.asarray(image.convert("L")))),
    "NumPy, Fortran's order": ("NPY", lambda image: array(np.asfortranarray(image.convert("RGB")))),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_digit_is_recognised_in_every_file_format(door: Door, digits: dict[str, Image.Image], kind: str) -> None:
    format, encode = FILES[kind]
    for label, image in digits.items():
        found = door.predicted(encode(image), media_type="application/octet-stream")
        assert found["input"]["image"]["format"] == format
        assert found["output"]["predicted_class"] == label


def test_an_array_is_taken_in_every_body_and_kept_as_a_file(door: Door, digits: dict[str, Image.Image]) -> None:
    label, image = next(iter(digits.items()))
    data = array(np.asarray(image.convert("RGB")))
    file = door.post("/v1/files", files={"content": ("a.npy", data)}).json()
    assert file["content_type"] == "image/x-npy"
    single = [
        door.post(content=data, headers={"Content-Type": "image/x-npy", "Prefer": "wait=60"}),
        door.post(files={"image": ("a.npy", data)}, headers={"Prefer": "wait=60"}),
        door.post(json={"input": {"image": data_url(data, "image/x-npy")}}, headers={"Prefer": "wait=60"}),
        door.post(json={"input": {"image": file["urls"]["get"]}}, headers={"Prefer": "wait=60"}),
    ]
    assert [answer.json()["output"]["predicted_class"] for answer in single] == [label] * 4
    floats = array(np.asarray(image, np.float32))  # type: ignore[arg-type]
    problem = expect_problem(door.submit(floats), 415, "unsupported-image")
    assert "a NumPy array of float32; an image is one of uint8" in problem["detail"]
    assert "NPY" in problem["supported"]
    for send in (
        lambda files, **more: send_archive(door.http, zipped(files), **more),
        lambda files, **more: send_images(door.http, files, **more),
    ):
        found = send([("a.npy", data), ("floats.npy", floats)], headers={"Prefer": "wait=60"}).json()["results"]
        assert [line["status"] for line in found] == ["succeeded", "failed"]
        assert "float32" in found[1]["error"]


def test_a_photo_is_rotated_only_if_its_exif_says_so(door: Door, digits: dict[str, Image.Image]) -> None:
    lying = {label: image.transpose(Image.Transpose.ROTATE_90) for label, image in digits.items()}
    seen = {label: door.predicted(encoded(image, "PNG"))["output"] for label, image in lying.items()}
    wrong = [label for label, output in seen.items() if output["predicted_class"] != label]
    assert len(wrong) > 5  # or the test above would say nothing of EXIF


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_single_pixel_is_predicted(door: Door, format: str) -> None:
    pixel = encoded(Image.new("RGB", (1, 1), (7, 77, 177)), format)
    found = door.predicted(pixel)
    assert (found["input"]["image"]["width"], found["input"]["image"]["height"]) == (1, 1)
    assert len(found["output"]["probabilities"]) == 10


def test_a_strip_whose_resize_exceeds_the_limit_fails_alone(door: Door, image: bytes) -> None:
    strip = black(width=40_000_000, height=1, depth=1, colour=0)
    with door.workers_stopped():
        ids = door.accepted(strip), door.accepted(image)
    bad, good = (door.ended(id) for id in ids)
    assert (bad["status"], bad["error_code"]) == ("failed", "undecodable_image")
    assert good["status"] == "succeeded"


def test_an_image_with_damaged_pixels_fails_alone(door: Door, scan: bytes) -> None:
    broken = bytearray(renewed(scan))
    place = broken.index(b"IDAT")
    broken[place + 4 : place + 40] = bytes(36)
    length = int.from_bytes(broken[place - 4 : place], "big")
    broken[place + 4 + length : place + 8 + length] = zlib.crc32(broken[place : place + 4 + length]).to_bytes(4, "big")
    with door.workers_stopped():
        ids = [door.accepted(file) for file in (renewed(scan), bytes(broken), renewed(scan))]
    first, bad, last = (door.ended(id) for id in ids)
    assert (first["status"], last["status"]) == ("succeeded", "succeeded")
    assert (bad["status"], bad["error_code"], bad["output"]) == ("failed", "undecodable_image", None)
    assert bad["error"]
    assert "Traceback" not in bad["error"]
    assert first["metrics"]["batch_size"] == last["metrics"]["batch_size"]


@pytest.mark.parametrize("share", [0.5, 0.75, 0.95])
def test_a_partial_jpeg_is_not_predicted(door: Door, scan: bytes, share: float) -> None:
    whole = encoded(opened(scan), "JPEG")
    pixels = whole.index(b"\xff\xda") + 14
    found = door.ended(door.accepted(whole[: pixels + int((len(whole) - pixels) * share)]))
    assert (found["status"], found["error_code"]) == ("failed", "undecodable_image")
    assert found["error"] == "its image data ends before the last pixel"
