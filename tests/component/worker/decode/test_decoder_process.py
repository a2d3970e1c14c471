"""The decoder process: the same pixels as in this process, killed if an image takes too long, nothing left behind."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.domain.image import ImageSpec
from tests.support.heavy_images import large_picture, many_scans
from tests.unit.worker.decode.test_preprocessing import encoded, picture
from worker.decode.decoder_process import DecoderProcess
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode

pytestmark = pytest.mark.slow  # large images, decoded in processes

MAX_PIXELS = 50_000_000
SPEC = ImageSpec((256,), (224,))
PARENT = """
import time
from datetime import timedelta
from shared.domain.image import ImageSpec
from tests.support.heavy_images import large_picture
from worker.decode.decoder_process import DecoderProcess
decoder = DecoderProcess(longest=timedelta(seconds=5), max_pixels=50_000_000)
decoder.decode(large_picture(7), ImageSpec((256,), (224,)))
print(decoder._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def decoder() -> Iterator[Callable[..., DecoderProcess]]:
    made: list[DecoderProcess] = []

    def make(seconds: float = 60) -> DecoderProcess:
        made.append(DecoderProcess(longest=timedelta(seconds=seconds), max_pixels=MAX_PIXELS))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def child(decoder: DecoderProcess) -> int:
    """Return the id of its process."""
    assert decoder._process
    return decoder._process.pid


def test_the_decoder_process_tells_the_size_of_the_upright_picture(decoder: Callable[..., DecoderProcess]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture(640, 427).save(file, "PNG", exif=exif)
    pixels, size = decoder().decode_sized(file.getvalue(), SPEC)
    assert (pixels.shape, size) == ((224, 224, 3), (427, 640))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_decoder_process_gives_the_same_pixels(decoder: Callable[..., DecoderProcess], format: str) -> None:
    data = encoded(picture(640, 427), format)
    one = decoder()
    for spec in (SPEC, ImageSpec(None, (40, 30))):
        assert np.array_equal(one.decode(data, spec), decode(data, spec, max_pixels=MAX_PIXELS))


def test_the_decoder_process_gives_the_same_errors(decoder: Callable[..., DecoderProcess]) -> None:
    data = encoded(picture(640, 427), "JPEG")[:2000]
    with pytest.raises(Undecodable) as here:
        decode(data, SPEC, max_pixels=MAX_PIXELS)
    with pytest.raises(Undecodable) as there:
        decoder().decode(data, SPEC)
    assert str(there.value) == str(here.value)


def test_an_image_that_takes_too_long_fails_and_the_next_is_decoded(decoder: Callable[..., DecoderProcess]) -> None:
    one = decoder(0.2)
    with pytest.raises(Undecodable, match=r"longer than 0\.2 s"):
        one.decode(many_scans(7000, 7000, 90), SPEC)
    assert one.decode(encoded(picture()), SPEC).shape == (224, 224, 3)


def test_each_image_has_its_own_time_limit(decoder: Callable[..., DecoderProcess]) -> None:
    one, data = decoder(1.0), encoded(picture(1500, 1500))
    one.decode(data, SPEC)
    process = child(one)
    ticks = os.sysconf("SC_CLK_TCK")
    while sum(map(int, Path(f"/proc/{process}/stat").read_text().rsplit(")")[1].split()[11:13])) < 1.5 * ticks:
        one.decode(data, SPEC)
    assert child(one) == process


def test_a_killed_process_fails_one_image_at_most(decoder: Callable[..., DecoderProcess]) -> None:
    one = decoder()
    one.decode(encoded(picture()), SPEC)
    os.kill(child(one), 9)
    for _ in range(2):
        try:
            assert one.decode(encoded(picture()), SPEC).shape == (224, 224, 3)
        except Undecodable:
            continue
    assert one.decode(encoded(picture()), SPEC).shape == (224, 224, 3)


def test_a_process_that_ended_between_images_fails_none_and_leaks_no_pipe(
    decoder: Callable[..., DecoderProcess],
) -> None:
    one = decoder()
    one.decode(encoded(picture()), SPEC)
    files = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        assert one._process
        one._process.kill()
        one._process.wait()
        assert one.decode(encoded(picture()), SPEC).shape == (224, 224, 3)
        assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_the_decoder_process_has_no_secrets_and_limited_memory(
    decoder: Callable[..., DecoderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_DATABASE_URL", "postgresql://ann:secret@db/x")
    one = decoder()
    one.decode(encoded(picture()), SPEC)
    folder = Path(f"/proc/{child(one)}")
    names = {line.partition(b"=")[0] for line in (folder / "environ").read_bytes().split(b"\0") if line}
    assert names == {b"PYTHONPATH", b"PATH"}
    (limit,) = [line for line in (folder / "limits").read_text().splitlines() if line.startswith("Max address space")]
    assert limit.split()[3] != "unlimited"
    assert len(list((folder / "fd").iterdir())) <= 4


@pytest.mark.timeout(60)
def test_the_decoder_process_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        process = Path(f"/proc/{int(parent.stdout.readline())}")
        assert process.exists()
        parent.kill()
    while process.exists() and ") Z " not in (process / "stat").read_text():
        time.sleep(0.01)


def test_a_large_image_is_decoded_within_the_memory_limit(decoder: Callable[..., DecoderProcess]) -> None:
    data = encoded(picture(10, 10).resize((7000, 7000)).convert("RGBA"), "PNG", compress_level=1)
    assert decoder().decode(data, SPEC).shape == (224, 224, 3)


def test_a_picture_decodes_to_the_number_it_was_made_from(decoder: Callable[..., DecoderProcess]) -> None:
    pixels = decoder().decode(large_picture(0x010203), ImageSpec(None, (1, 1)))
    assert pixels.tolist() == [[[1, 2, 3]]]
