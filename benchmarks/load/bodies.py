"""The bodies of bulk uploads: a zip, a form of many files, NDJSON; image n is called `name_of(n)` in each."""

import base64
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from benchmarks.load import image_files
from benchmarks.load.upload import Upload

BOUNDARY: Final = "------------------------darkroombenchmark"
# Sent and framed one at a time, small images would cost the client more than the server.
_PIECE: Final = 64 * 1024
_FILE_PIECE: Final = 256 * 1024
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_END: Final = f"--{BOUNDARY}--\r\n".encode()


def name_of(number: int) -> str:
    """Return what an image is called, in upload order when sorted."""
    return f"{number:07}.png"


def stamped_images(upload: Upload) -> Iterator[bytes]:
    """Yield every image, each different from those of all other stamps."""
    base = image_files.read(Path(upload.images))
    for number in range(upload.count):
        yield image_files.stamped(base[number % len(base)], upload.stamp << 20 | number)


def write_zip(file: BinaryIO, images: Iterable[bytes]) -> None:
    """Write an archive; stored, since compressed images do not get smaller."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, image in enumerate(images):
            archive.writestr(zipfile.ZipInfo(name_of(number), _EPOCH), image)


def archive_form(file: BinaryIO) -> tuple[int, Iterator[bytes]]:
    """Return length and pieces of a form whose one file is an archive."""
    head = _part("archive", "images.zip", "application/zip")
    size = file.seek(0, 2)
    return len(head) + size + len(b"\r\n" + _END), _archive_pieces(head, file)


def _archive_pieces(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    file.seek(0)
    while piece := file.read(_FILE_PIECE):
        yield piece
    yield b"\r\n" + _END


def images_form(images: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a form of many files."""
    return _gathered(_image_parts(images))


def _image_parts(images: Iterable[bytes]) -> Iterator[bytes]:
    for number, image in enumerate(images):
        yield _part("images", name_of(number), "image/png") + image + b"\r\n"
    yield _END


def lines(images: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of NDJSON."""
    return _gathered(
        b'{"custom_id":"%s","image":"%s"}\n' % (name_of(number).encode(), base64.b64encode(image))
        for number, image in enumerate(images)
    )


def _part(field: str, filename: str, kind: str) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"'
    return f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts into pieces large enough for a system call each."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        if len(waiting) >= _PIECE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
