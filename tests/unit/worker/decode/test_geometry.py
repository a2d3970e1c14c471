"""A box in the model's input becomes the box in the picture that it came from: checked against drawn pictures."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from shared.domain.image import CropRounding, ImageSpec, Pad
from worker.decode.geometry import place
from worker.decode.preprocessing import decode, decode_sized

MAX_PIXELS = 10_000_000
ORIENTATION = 0x0112
sides = st.integers(24, 200)
specs = st.one_of(
    st.builds(
        lambda resize, crop: ImageSpec((resize,), (min(crop, resize),)), st.integers(40, 120), st.integers(30, 120)
    ),
    st.builds(lambda height, width: ImageSpec((height, width), None), st.integers(30, 120), st.integers(30, 120)),
    st.builds(lambda resize, crop: ImageSpec((resize,), (crop, crop + 8)), st.integers(40, 90), st.integers(30, 140)),
    st.builds(lambda crop: ImageSpec(None, (crop,)), st.integers(30, 150)),
    st.builds(
        lambda height, width, pad: ImageSpec((height, width), None, pad=pad),
        st.integers(30, 120),
        st.integers(30, 120),
        st.sampled_from(Pad),
    ),
)


def drawn(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (width, height), "black")
    image.paste((255, 255, 255), box)
    return image


def encoded(image: Image.Image, orientation: int = 1) -> bytes:
    """Return a PNG that looks like the image once it is turned as its EXIF says."""
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverses, by Pillow's numbers
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    stored = image if orientation == 1 else image.transpose(Image.Transpose(turns[orientation]))
    stored.save(file, "PNG", exif=exif)
    return file.getvalue()


def found(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> tuple[float, float, float, float]:
    """Return the white box of a black picture in continuous coordinates, from how much of each edge pixel is white."""
    rows, columns = (pixels[..., 0].max(axis=axis).astype(float) / 255 for axis in (1, 0))

    def ends(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> tuple[float, float]:
        white = np.flatnonzero(values >= 0.5)
        return float(white[0]), float(white[-1] + 1)

    (y0, y1), (x0, x1) = ends(rows), ends(columns)
    return x0, y0, x1, y1


@given(width=sides, height=sides, spec=specs, data=st.data(), orientation=st.integers(1, 8))
def test_a_box_found_in_the_input_is_where_it_was_drawn(
    width: int, height: int, spec: ImageSpec, data: st.DataObject, orientation: int
) -> None:
    x0, y0 = (data.draw(st.integers(0, side - 12)) for side in (width, height))
    x1, y1 = data.draw(st.integers(x0 + 12, width)), data.draw(st.integers(y0 + 12, height))
    file = encoded(drawn(width, height, (x0, y0, x1, y1)), orientation)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(file))).size == (width, height)

    pixels, size = decode_sized(file, spec, max_pixels=MAX_PIXELS)
    assert size == (width, height)
    assert np.array_equal(pixels, decode(file, spec, max_pixels=MAX_PIXELS))
    if pixels.max() < 128:  # the box lies in what is cut off
        return
    placement = place(size, spec)
    box = placement.in_picture(found(pixels))
    # A pixel of the input may be several of the picture, and the edge lies somewhere in it.
    across, down = 1 / placement.scale_x + 1, 1 / placement.scale_y + 1
    cut = placement.in_picture((0, 0, pixels.shape[1], pixels.shape[0]))
    expected = (max(x0, cut[0]), max(y0, cut[1]), min(x1, cut[2]), min(y1, cut[3]))
    for side, wanted, slack in zip(box, expected, (across, down, across, down), strict=True):
        assert abs(side - wanted) <= slack, (box, expected)


def test_boxes_are_exact_where_sizes_divide() -> None:
    placement = place((200, 100), ImageSpec((50,), (40,)))
    # 200x100 becomes 100x50, of which the centre 40x40 begins at 30, 5.
    assert placement.in_picture((0, 0, 40, 40)) == (60, 10, 140, 90)
    assert placement.in_picture((10, 10, 20, 20)) == (80, 30, 100, 50)


def test_an_odd_rest_is_cut_at_the_even_pixel_or_at_the_lower() -> None:
    starts = [
        (place((width, 40), ImageSpec(None, (40,), crop_rounding=rounding)).left)
        for rounding in CropRounding
        for width in (40, 41, 42, 43)
    ]
    assert starts == [0, 0, 1, 2, 0, 0, 1, 1]  # torchvision's, then transformers'


@pytest.mark.parametrize(
    ("pad", "size", "box"),
    [
        (Pad.CENTER, (200, 100), (10, 30, 20, 40)),
        (Pad.CENTER, (100, 200), (30, 10, 40, 20)),
        (Pad.END, (200, 100), (10, 10, 20, 20)),
        (Pad.END, (100, 200), (10, 10, 20, 20)),
    ],
)
def test_a_border_is_taken_off(pad: Pad, size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """In a frame of 80x81 the picture has 80x40 pixels, or 40x80; of 41 rows of border 20 are above."""
    placement = place(size, ImageSpec((81 if size[0] > size[1] else 80, 80), None, pad=pad))
    assert placement.in_picture(box) == (25, 25, 50, 50)
    assert placement.in_picture((0, 0, 80, 81)) == (0, 0, *size)


def test_boxes_are_clipped_to_the_picture() -> None:
    placement = place((20, 20), ImageSpec(None, (40,)))
    assert placement.in_picture((0, 0, 40, 40)) == (0, 0, 20, 20)
    assert placement.in_picture((-5, 12, 15, 90)) == (0, 2, 5, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_upright_picture(orientation: int) -> None:
    file = encoded(drawn(60, 30, (5, 5, 20, 20)), orientation)
    assert decode_sized(file, ImageSpec((32,), (32,)), max_pixels=MAX_PIXELS).size == (60, 30)
