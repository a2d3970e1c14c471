"""Seed inputs of the fuzzer: what real clients send, a few of each kind."""

import base64
import gzip
import io
import tarfile
import zipfile
from typing import Final

from tests.fuzz.images import image_seeds

PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
_TEXT: Final = base64.b64encode(PNG)


def seeds(target: str) -> list[bytes]:  # noqa: PLR0911  one a target
    """Return what a target begins with."""
    match target:
        case "lines":
            return _lines()
        case "submission":
            return [*_forms(b"image"), *_objects()]
        case "multipart" | "form":
            return [*_forms(b"images"), *_forms(b"archive", _zip())]
        case "zip":
            return [_zip(), _zip(zipfile.ZIP_STORED), _zip(names=("a/", "é.png", "README.txt", "__MACOSX/._a.png"))]
        case "tar":
            return [_tar(format) for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
        case "image":
            return image_seeds()
        case _:
            return [
                gzip.compress(_tar(tarfile.PAX_FORMAT), mtime=0),
                gzip.compress(_tar(tarfile.GNU_FORMAT), 0, mtime=0),
            ]


def _forms(name: bytes, data: bytes = PNG) -> list[bytes]:
    heads = [
        b'Content-Disposition: form-data; name="%b"; filename="a.png"\r\nContent-Type: image/png' % name,
        b'Content-Disposition: form-data; name=%b; filename="=?utf-8?B?w6kxLnBuZw==?="' % name
        + b"; filename*=utf-8''%C3%A91.png",
        b'Content-Disposition: form-data;\r\n name="%b[]"; filename*0="a"; filename*1=".png"' % name,
    ]
    field = b'--B\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"a": 1}\r\n'
    return [field + b"--B\r\n" + head + b"\r\n\r\n" + data + b"\r\n--B--\r\n" for head in heads]


def _objects() -> list[bytes]:
    urls = [
        b"data:image/png;base64," + _TEXT,
        b"data:,%89PNG%0D%0A",
        b"http://h/v1/files/a",
        b"data:;base64," + b"A" * 70_000,
    ]
    return [b'{"model":"digits","metadata":{"a":[1]},"input":{"image":"' + url + b'"}}' for url in urls]


def _lines() -> list[bytes]:
    texts = [_TEXT, _TEXT.rstrip(b"="), b"data:image/png;base64," + _TEXT, b"QU%4A\\n-_", b"A" * 140_000]
    return [
        b'\xef\xbb\xbf{"custom_id":"a","image":"' + text + b'"}\r\n\n{"custom_id":7,"image":"QUJD"}' for text in texts
    ]


def _zip(method: int = zipfile.ZIP_DEFLATED, names: tuple[str, ...] = ("a.png", "b/c.png")) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"" if name.endswith("/") else PNG, method)
    return written.getvalue()


def _tar(format: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=format) as archive:
        for name in ("a.png", "n" * 120 + "/é.png", "README.txt"):
            member = tarfile.TarInfo(name)
            member.size = len(PNG)
            archive.addfile(member, io.BytesIO(PNG))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a.png"
        archive.addfile(link)
    return written.getvalue()
