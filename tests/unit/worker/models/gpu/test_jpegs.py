"""Which JPEGs a GPU decodes, with a stand-in for nvJPEG: what it can't do costs a picture's neighbours nothing."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from shared.domain.image import ImageSpec, Interpolation
from tests.support.deferred_imports import deferred

torch = deferred("torch")
jpegs = deferred("worker.models.gpu.jpegs")
streams = deferred("worker.models.gpu.streams")
stand_in = deferred("tests.support.stand_in_gpu")
pytestmark = pytest.mark.xdist_group("torch")


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "JPEG")
    return file.getvalue()


def black(images: Sequence[bytes], device: str) -> list[Any]:
    sizes = [Image.open(io.BytesIO(image)).size for image in images]
    return [torch.zeros(3, height, width, dtype=torch.uint8, device=device) for width, height in sizes]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(streams, "_threads", type(streams._threads)())
    return stand_in.install(monkeypatch)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("spec", "size", "is_decoded"),
    [
        (ImageSpec((32,), (32,)), (4000, 2880), False),  # 90 times for its height, and a width that is more
        (ImageSpec((32,), (32,)), (2880, 2880), True),
        (ImageSpec((32,), (32,), Interpolation.BICUBIC), (2880, 2880), False),
        (ImageSpec((32,), (32,), Interpolation.BICUBIC), (1440, 1440), True),
        (ImageSpec((32, 32), None), (6000, 400), False),
        (ImageSpec((224,), (224,)), (4000, 3000), True),
        (ImageSpec(None, (32, 32)), (4000, 3000), True),  # cut out, and not resized
    ],
)
def test_a_picture_that_gets_far_smaller_is_left_to_pillow(
    spec: ImageSpec, size: tuple[int, int], *, is_decoded: bool
) -> None:
    decoder = jpegs.DeviceJpegs(black, spec, device="cpu", max_pixels=50_000_000)
    found = decoder.decode([jpeg(64, 64), jpeg(*size), jpeg(64, 64)])
    assert [one is not None for one in found] == [True, is_decoded, True]


@pytest.mark.parametrize("error", ["out of memory", "nvJPEG refuses"])
def test_what_fails_is_left_to_pillow(gpu: Any, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given_back = list[int]()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(1))
    kind = torch.OutOfMemoryError if error == "out of memory" else RuntimeError

    def fails(*_: object) -> list[Any]:
        raise kind(error)

    assert gpu.underway == set()
    decoder = jpegs.DeviceJpegs(fails, ImageSpec((32,), (32,)), device="cpu", max_pixels=50_000_000)
    assert decoder.decode([jpeg(64, 64)] * 2) == [None, None]
    assert len(given_back) == (kind is torch.OutOfMemoryError)
