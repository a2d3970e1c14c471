"""The images of the comparison: they are there, can be read, and are as varied as their module says."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from shared.domain.image import ImageSpec
from worker.decode.preprocessing import decode
from worker.models.reference_photographs import COUNT, reference_photographs


@pytest.mark.slow
def test_every_one_is_another_jpeg_that_can_be_decoded() -> None:
    photographs = reference_photographs()
    assert len(set(photographs)) == len(photographs) == COUNT
    spec = ImageSpec.from_metadata({"resize_size": 32, "crop_size": 32})
    pixels = [decode(photograph, spec, max_pixels=1_000_000) for photograph in photographs]
    assert len({picture.tobytes() for picture in pixels}) == COUNT
    assert min(np.std(picture) for picture in pixels) > 0


@pytest.mark.slow
def test_they_are_the_same_each_time() -> None:
    first = reference_photographs()
    reference_photographs.cache_clear()
    assert reference_photographs() == first


def test_any_few_of_them_have_all_sizes_modes_and_encodings() -> None:
    photographs = reference_photographs()
    for some in (photographs[:64], photographs[-64:]):
        images = [Image.open(io.BytesIO(photograph)) for photograph in some]
        assert Counter(image.mode for image in images).keys() == {"L", "RGB"}
        colour = [image for image in images if image.mode == "RGB"]
        assert {JpegImagePlugin.get_sampling(image) for image in colour} == {0, 1, 2}
        assert {bool(image.info.get("progressive")) for image in images} == {False, True}
        sides = [max(image.size) for image in images]
        assert min(sides) < 150
        assert max(sides) > 500
        assert any(image.width > image.height for image in images)
        assert any(image.width < image.height for image in images)
