"""NumPy's arrays: an image of bytes is read as NumPy reads it, everything else is refused in words."""

import io
import struct
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.domain.errors import ImageTooLarge, UndecodableImage, UnsupportedImage
from shared.domain.image import ImageSpec
from shared.image_files.npy import MAX_HEADER
from tests.unit.api.uploads.test_image_check import array, facts
from worker.decode.image_loading import Undecodable, load_image
from worker.decode.preprocessing import decode


def saved(samples: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, samples, **options)
    return file.getvalue()


def written(header: str | bytes, samples: bytes = bytes(6), *, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return a file with this header's text."""
    text = header if isinstance(header, bytes) else header.encode()
    form = "<H" if version == (1, 0) else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(form, len(text)) + text + samples


USUAL = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n"


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([None, 1, 3]),
    order=st.sampled_from(["C", "F"]),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    seed=st.integers(0, 1000),
)
def test_an_array_is_the_image_that_pillow_makes_of_it(
    height: int, width: int, channels: int | None, order: Literal["C", "F"], version: tuple[int, int], seed: int
) -> None:
    shape = (height, width) if channels is None else (height, width, channels)
    data = array(shape, version, order)
    samples = np.load(io.BytesIO(data))
    assert (found := facts(data)).format == "NPY"
    assert (found.width, found.height) == (width, height)
    image = load_image(data, max_pixels=100)
    assert image.mode == ("RGB" if channels == 3 else "L")
    assert np.array_equal(np.asarray(image), samples[..., 0] if channels == 1 else samples)
    spec = ImageSpec(resize_size=None, crop_size=(height, width))
    grey = samples.reshape(height, width, -1)
    assert np.array_equal(decode(data, spec, max_pixels=100), np.broadcast_to(grey, (height, width, 3)))
    assert seed >= 0


def test_an_array_is_predicted_as_the_png_of_the_same_pixels() -> None:
    samples = np.random.default_rng(3).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    spec = ImageSpec(resize_size=(32,), crop_size=(24,))
    one, other = (decode(data, spec, max_pixels=10_000) for data in (saved(samples), file.getvalue()))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "header",
    [
        USUAL,
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}",
        '{"descr": "<u1", "fortran_order": False, "shape": (2, 3)}',
        "{'shape': (2, 3), 'fortran_order': True, 'descr': 'u1'}" + " " * 70 + "\n",
        "{'descr':'|u1','fortran_order':False,'shape':(2,3),}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3L), }\n",
    ],
)
def test_headers_that_other_programs_write_are_read(header: str) -> None:
    found = facts(written(header))
    assert (found.width, found.height) == (3, 2)


OTHERS: dict[str, tuple[bytes, str]] = {
    "float32": (saved(np.zeros((4, 4, 3), np.float32)), "a NumPy array of float32; an image is one of uint8"),
    "float64": (saved(np.zeros((4, 4))), "of float64"),
    "int64": (saved(np.zeros((4, 4), np.int64)), "of int64"),
    "uint16": (saved(np.zeros((4, 4), np.uint16)), "of uint16"),
    "bool": (saved(np.zeros((4, 4), bool)), "of bool"),
    "complex": (saved(np.zeros((4, 4), np.complex64)), "of complex64"),
    "text": (saved(np.array([["a"]])), "of type"),
    "objects": (saved(np.array([[object]], dtype=object), allow_pickle=True), "of Python objects"),
    "records": (saved(np.zeros((4, 4), [("r", "u1"), ("g", "u1")])), "of records"),
    "channels first": (array((3, 8, 9)), "(3, 8, 9), its channels first; an image is (height, width, channels)"),
    "many": (array((2, 8, 9, 3)), "(2, 8, 9, 3), many images; send each on its own"),
    "transparent": (array((8, 9, 4)), "an image is (height, width), (height, width, 1) or (height, width, 3)"),
    "a row": (array((8,)), "of shape (8)"),
    "a number": (saved(np.uint8(7)), "of shape ()"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_arrays_are_refused_with_what_they_are(kind: str) -> None:
    data, words = OTHERS[kind]
    with pytest.raises(UnsupportedImage) as refusal:
        facts(data)
    assert words in refusal.value.found
    with pytest.raises(Undecodable) as told:
        load_image(data, max_pixels=1000)
    assert words in str(told.value)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "cut off": (array((11, 23))[:-1], "its shape (11, 23) means"),
    "more": (array((11, 23)) + b"\0", "its shape (11, 23) means"),
    "two arrays": (array((11, 23)) * 2, "its shape (11, 23) means"),
    "in the header": (array((11, 23))[:60], "it ends inside its header"),
    "after the signature": (b"\x93NUMPY\1", "it ends inside its header"),
    "version": (b"\x93NUMPY\4\0" + array((2, 3))[8:], "version 4.0"),
    "no dictionary": (written("['|u1', False, (2, 3)]"), "no dictionary"),
    "code": (written("{'descr': __import__('os'), 'fortran_order': False, 'shape': (2, 3)}"), "is not descr"),
    "expression": (written("{'descr': '|u1', 'fortran_order': 1 == 2, 'shape': (2, 3)}"), "is not descr"),
    "negative": (written("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -3)}"), "is not descr"),
    "member twice": (written("{'descr': '|u1', 'descr': '|u1', 'shape': (2, 3)}"), "names descr twice"),
    "member too many": (written(USUAL.replace("}", "'more': 1}")), "is not descr"),
    "member missing": (written("{'descr': '|u1', 'shape': (2, 3)}"), "is not descr"),
    "swapped": (written("{'descr': (2, 3), 'fortran_order': False, 'shape': '|u1'}"), "is damaged"),
    "order": (written(USUAL.replace("False", "'C'")), "is damaged"),
    "long header": (written(USUAL + " " * MAX_HEADER), "over 4,096"),
    "no pixel": (array((0, 23)), "23x0 pixels"),
    "deep": (written(b"{" * 4000), "no dictionary"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_array_is_refused_by_gateway_and_worker_alike(kind: str) -> None:
    data, words = DAMAGED[kind]
    with pytest.raises(UndecodableImage) as refusal:
        facts(data)
    assert words in refusal.value.reason
    with pytest.raises(Undecodable):
        decode(data, ImageSpec(resize_size=None, crop_size=(2, 3)), max_pixels=1000)


def test_more_pixels_than_are_allowed_are_refused_before_anything_is_read() -> None:
    data = written(USUAL.replace("(2, 3)", "(4000000000, 4000000000)"))
    with pytest.raises((ImageTooLarge, UndecodableImage)):
        facts(data)
    with pytest.raises(Undecodable, match="over the limit"):
        load_image(array((40, 40)), max_pixels=1000)


@pytest.mark.parametrize(
    "filling", ["1" * 3900, "1," * 1900, "(" * 3900, "'" * 3900, " " * 3900, "[" * 3900, "1L" * 1900]
)
def test_no_header_takes_long_to_match(filling: str) -> None:
    for around in ("{{'descr': {0}", "{{'shape': ({0}", "{0}", "{{'descr': '{0}', 'shape': ({0})}}"):
        with pytest.raises((UndecodableImage, UnsupportedImage)):
            facts(written(around.format(filling)[:MAX_HEADER]))
