"""A model's image specification: torchvision's preset names, or an error with the reason."""

from typing import Any

import pytest

from shared.domain.image import ImageSpec, Interpolation, Mode

IMAGENET = {
    "resize_size": [256],
    "crop_size": [224],
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "mode": "RGB",
    "pad": None,
    "fill": None,
    "crop_rounding": None,
}
LETTERBOX = {"resize_size": [32, 48], "pad": "center", "fill": 114}


def test_a_torchvision_preset_is_read_unchanged() -> None:
    spec = ImageSpec.from_metadata(IMAGENET)
    assert (spec.resize_size, spec.crop_size) == ((256,), (224,))
    assert spec.interpolation is Interpolation.BILINEAR
    assert spec.mode is Mode.RGB
    assert spec.input_size == (224, 224)


@pytest.mark.parametrize("changed", [{}, {"mode": "BGR"}, LETTERBOX | {"crop_size": None}, {"crop_rounding": "down"}])
def test_a_written_spec_is_read_back_unchanged(changed: dict[str, Any]) -> None:
    metadata = IMAGENET | changed
    spec = ImageSpec.from_metadata(metadata)
    assert spec.as_metadata() == metadata
    assert ImageSpec.from_metadata(spec.as_metadata()) == spec


@pytest.mark.parametrize(
    ("metadata", "size"),
    [
        ({"crop_size": 224}, (224, 224)),
        ({"crop_size": [20, 30]}, (20, 30)),
        ({"crop_size": 1}, (1, 1)),
        ({"crop_size": 4096}, (4096, 4096)),
        ({"resize_size": [20, 30]}, (20, 30)),
        ({"resize_size": (20, 30), "crop_size": 10}, (10, 10)),
        ({"resize_size": 256, "crop_size": [8, 9]}, (8, 9)),
        (LETTERBOX, (32, 48)),
    ],
)
def test_the_input_size_is_the_crop_or_else_the_whole_resize(metadata: dict[str, Any], size: tuple[int, int]) -> None:
    assert ImageSpec.from_metadata(metadata).input_size == size


def test_omitted_members_take_their_defaults() -> None:
    spec = ImageSpec.from_metadata({"crop_size": 32})
    assert spec.resize_size is None
    assert (spec.mean, spec.std) == ((0.0,) * 3, (1.0,) * 3)


def test_a_greyscale_model_has_one_channel() -> None:
    spec = ImageSpec.from_metadata({"crop_size": 28, "mode": "L"})
    assert spec.mode.channels == 1
    assert (spec.mean, spec.std) == ((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "must fix the input's size"),
        ({"resize_size": 256}, "must fix the input's size"),
        ({"crop_size": 0}, "crop_size"),
        ({"crop_size": -1}, "crop_size"),
        ({"crop_size": 22.5}, "crop_size"),
        ({"crop_size": True}, "crop_size"),
        ({"crop_size": "224"}, "crop_size"),
        ({"crop_size": [1, 2, 3]}, "crop_size"),
        ({"crop_size": []}, "crop_size"),
        ({"crop_size": 32, "resize_size": [32, None]}, "resize_size"),
        (
            {"crop_size": 32, "interpolation": "cubic"},
            "must be one of nearest, bilinear, bicubic, box, hamming, lanczos, not .cubic",
        ),
        ({"crop_size": 32, "mode": "CMYK"}, "must be one of RGB, BGR, L, not .CMYK"),
        ({"crop_size": 32, "mean": [0.5]}, "mean and std"),
        ({"crop_size": 32, "mode": "L", "std": [1, 1, 1]}, "mean and std"),
        ({"crop_size": 32, "std": [1, 0, 1]}, "std must be positive"),
        ({"crop_size": 32, "mean": [123.7, 116.3, 103.5]}, "0..1, not 0..255"),
        ({"crop_size": 32, "std": [58.4, 57.1, 57.4]}, "0..1, not 0..255"),
        ({"crop_size": 32, "mean": [float("nan"), 0, 0]}, "must be finite"),
        ({"crop_size": 32, "std": [1, float("inf"), 1]}, "must be finite"),
        ({"crop_size": 20_000}, "crop_size is 20,000 x 20,000 pixels, over the limit of 33,554,432"),
        ({"crop_size": 32, "resize_size": [10_000, 4_000]}, "resize_size is 10,000 x 4,000 pixels"),
        ({"crop_size": 32, "resize": 36}, "did you mean 'resize_size'?"),
        ({"crop_size": 32, "flavour": 36}, "unknown image metadata: flavour; there are resize_size, crop_size"),
        ({"crop_size": 32, "size": 3}, "unknown image metadata: size"),
        (LETTERBOX | {"pad": "centre"}, "pad must be one of center, end, not .centre"),
        (LETTERBOX | {"resize_size": 32}, "pad needs a resize_size of .height, width. and no crop_size"),
        (LETTERBOX | {"crop_size": 32}, "pad needs a resize_size of .height, width. and no crop_size"),
        ({"crop_size": 32, "pad": "end"}, "pad needs a resize_size of .height, width."),
        ({"crop_size": 32, "mean": 0.5}, "mean must be a list of numbers, one a channel, not 0.5"),
        ({"crop_size": 32, "std": "0.2"}, "std must be a list of numbers, one a channel, not '0.2'"),
        ({"crop_size": 32, "crop_rounding": "up"}, "crop_rounding must be one of nearest, down, not 'up'"),
        (LETTERBOX | {"fill": 256}, "fill must be a whole number from 0 to 255, not 256"),
        (LETTERBOX | {"fill": 0.5}, "fill must be a whole number from 0 to 255, not 0.5"),
        ({"crop_size": 32, "fill": 114}, "say where that goes, with pad"),
    ],
)
def test_an_invalid_spec_is_refused_with_the_reason(metadata: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImageSpec.from_metadata(metadata)
