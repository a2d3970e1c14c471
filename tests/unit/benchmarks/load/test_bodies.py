import base64
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest
from PIL import Image

from api.batches.archives.zips import ZipArchive
from api.batches.form_stream import FormStream, PartBegin, PartData
from benchmarks.load import bodies, image_files
from benchmarks.load.upload import Upload
from shared.settings import Bulk

CONTENT_TYPE = f"multipart/form-data; boundary={bodies.BOUNDARY}"


def pictures() -> list[bytes]:
    found = []
    for shade in (0, 90, 255):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


def upload(tmp_path: Path, *, count: int, stamp: int) -> Upload:
    image_files.write(tmp_path / "images", pictures())
    return Upload(
        port=1, kind="zip", images=str(tmp_path / "images"), count=count, stamp=stamp, folder=str(tmp_path), limit=1
    )


def files_of(pieces: Iterable[bytes]) -> list[tuple[str, str | None, bytes]]:
    """Field, filename and content of each part, as the gateway reads them."""
    form, found = FormStream(CONTENT_TYPE), []
    for piece in pieces:
        for event in form.feed(piece):
            match event:
                case PartBegin(name, filename):
                    found.append((name, filename, b""))
                case PartData(data):
                    name, filename, before = found[-1]
                    found[-1] = (name, filename, before + data)
    form.finish()
    return found


def test_all_images_of_all_uploads_have_different_bytes(tmp_path: Path) -> None:
    first, second = (list(bodies.stamped_images(upload(tmp_path, count=10, stamp=stamp))) for stamp in (1, 2))
    assert len({*first, *second}) == 20


def test_image_n_shows_base_image_n_modulo_their_number(tmp_path: Path) -> None:
    stamped = list(bodies.stamped_images(upload(tmp_path, count=7, stamp=5)))
    shown = [Image.open(io.BytesIO(image)).getpixel((0, 0)) for image in stamped]
    assert shown == [(shade,) * 3 for shade in (0, 90, 255, 0, 90, 255, 0)]


def test_the_gateway_reads_the_zip_and_finds_its_images_in_order() -> None:
    file, images = io.BytesIO(), [bytes([number]) * 50 for number in range(1, 120)]
    bodies.write_zip(file, images)
    archive = ZipArchive(file, limits=Bulk(), max_image_bytes=1000)
    for _ in archive.check():
        pass
    assert [(item.name, item.data) for item in archive.items()] == [
        (bodies.name_of(number), image) for number, image in enumerate(images)
    ]


def test_names_sort_as_they_were_sent() -> None:
    numbers = [0, 9, 10, 99_999, 100_000, 1_000_000]
    assert sorted(map(bodies.name_of, numbers)) == [bodies.name_of(number) for number in numbers]


@pytest.mark.parametrize("size", [0, 1, 700_000])
def test_the_form_of_an_archive_has_the_length_it_says(size: int) -> None:
    length, pieces = bodies.archive_form(io.BytesIO(b"x" * size))
    sent = list(pieces)
    assert sum(map(len, sent)) == length
    assert files_of(sent) == [("archive", "images.zip", b"x" * size)]


def test_the_form_of_images_holds_each_as_a_file() -> None:
    images = [bytes([number]) * 3000 for number in range(100)]
    assert files_of(bodies.images_form(images)) == [
        ("images", bodies.name_of(number), image) for number, image in enumerate(images)
    ]


def test_lines_hold_an_image_each() -> None:
    images = [bytes([number]) * 3000 for number in range(100)]
    found = [orjson.loads(line) for line in b"".join(bodies.lines(images)).splitlines()]
    assert [(line["custom_id"], base64.b64decode(line["image"])) for line in found] == [
        (bodies.name_of(number), image) for number, image in enumerate(images)
    ]


def test_many_small_images_leave_in_few_pieces() -> None:
    images = [b"x" * 1600] * 1000
    assert len(list(bodies.images_form(images))) < 30
    assert len(list(bodies.lines(images))) < 40


def test_a_zip_is_stored(tmp_path: Path) -> None:
    with (tmp_path / "zip").open("w+b") as file:
        bodies.write_zip(file, pictures())
        assert {entry.compress_type for entry in zipfile.ZipFile(file).infolist()} == {zipfile.ZIP_STORED}
