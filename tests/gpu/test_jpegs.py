"""JPEGs decoded on a GPU: close to what Pillow gives, and left to Pillow where they can't be."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.domain.image import ImageSpec, Interpolation, Mode, Pad
from worker.decode.preprocessing import decode
from worker.models.gpu.jpegs import DeviceJpegs, device_jpegs
from worker.models.reference_photographs import reference_photographs

SPECS = [
    ImageSpec((256,), (224,)),
    ImageSpec((256,), (224,), Interpolation.BICUBIC),
    ImageSpec((48, 80), None),
    ImageSpec(None, (300, 500)),
    ImageSpec((64,), (64,), mean=(0.0,), std=(1.0,), mode=Mode.GREYSCALE),
    ImageSpec((256,), (224,), mode=Mode.BGR),
    ImageSpec((320, 320), None, pad=Pad.CENTER, fill=114),
    ImageSpec((320, 256), None, pad=Pad.END),
]
LIMIT = 50_000_000


def decoder(spec: ImageSpec) -> DeviceJpegs:
    made = device_jpegs(spec, device="cuda", max_pixels=LIMIT)
    assert made is not None
    return made


def pixels(tensor: torch.Tensor) -> Any:
    return tensor.permute(1, 2, 0).cpu().numpy().astype(int)


def photograph(number: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(reference_photographs()[number])).convert("RGB")


def is_colour(data: bytes) -> bool:
    return Image.open(io.BytesIO(data)).mode == "RGB"


def encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("spec", SPECS)
def test_pixels_are_close_to_pillows(spec: ImageSpec) -> None:
    found = decoder(spec).decode(reference_photographs())
    assert [one is not None for one in found] == [is_colour(data) for data in reference_photographs()]
    means = []
    for data, one in zip(reference_photographs(), found, strict=True):
        if one is not None:
            exact = decode(data, spec, max_pixels=LIMIT).astype(int)
            assert pixels(one).shape == exact.shape
            means.append(np.abs(pixels(one) - exact).mean())
    assert np.mean(means) < 1.0
    assert max(means) < 6.0


@pytest.mark.parametrize(
    ("interpolation", "side"), [(Interpolation.BILINEAR, 90 * 32), (Interpolation.BICUBIC, 45 * 32)]
)
def test_a_picture_is_made_as_much_smaller_as_is_tried(interpolation: Interpolation, side: int) -> None:
    data = encoded(photograph().resize((side, side)), quality=95)
    spec = ImageSpec((32,), (32,), interpolation)
    (found,) = decoder(spec).decode([data])
    assert found is not None
    assert np.abs(pixels(found) - decode(data, spec, max_pixels=LIMIT)).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_is_followed(orientation: int) -> None:
    image = photograph().resize((96, 64))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif, quality=95, subsampling=0)
    spec = ImageSpec(None, (64, 64))
    (found,) = decoder(spec).decode([data])
    assert found is not None
    assert np.abs(pixels(found) - decode(data, spec, max_pixels=LIMIT)).mean() < 2


def test_what_is_no_plain_jpeg_is_left_to_pillow() -> None:
    image = photograph()
    png = io.BytesIO()
    image.save(png, "PNG")
    good = encoded(image)
    others = [png.getvalue(), encoded(image.convert("CMYK")), encoded(image.convert("L")), good[:-300], b""]
    found = decoder(SPECS[0]).decode([good, *others, good])
    assert [one is not None for one in found] == [True, *[False] * len(others), True]


def test_a_file_that_nvjpeg_refuses_is_left_to_pillow_with_its_batch() -> None:
    good = encoded(photograph())
    # Its Huffman tables are gone: no decoder can read the scan.
    broken = good[: good.index(b"\xff\xc4")] + good[good.index(b"\xff\xda") :]
    assert decoder(SPECS[0]).decode([good, broken, good]) == [None, None, None]
    assert decoder(SPECS[0]).decode([good])[0] is not None


def test_damage_of_any_kind_ends_no_process() -> None:
    random = np.random.default_rng(0)
    good = bytearray(encoded(photograph(3)))
    for _ in range(30):
        copy = bytearray(good)
        for _ in range(random.integers(1, 8)):
            copy[random.integers(2, len(copy) - 2)] = random.integers(0, 256)
        assert len(decoder(SPECS[0]).decode([bytes(copy), bytes(good)])) == 2
    last = decoder(SPECS[0]).decode([bytes(good)])[0]
    assert last is not None
    assert np.abs(pixels(last) - decode(bytes(good), SPECS[0], max_pixels=LIMIT)).mean() < 2
