"""The console's files, read once and compressed once, under an address that changes with their content."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

WEB: Final = Path(__file__).parent / "web"
MEDIA_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Other files of the folder, as licences, are not served."""
_PRELOADED: Final = ("lib/", "parts/", "vendor/preact", "vendor/htm")


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file as it is sent."""

    media_type: str
    content: bytes
    compressed: bytes
    """The same, in gzip."""


@dataclass(frozen=True, slots=True)
class WebFiles:
    """All files of the console."""

    digest: str
    """Of all their names and bytes: part of their address, so that a browser may keep them for good."""
    by_path: dict[str, WebFile]
    page: WebFile
    """`index.html`, with the address of this version's files."""


@cache
def web_files(directory: Path = WEB) -> WebFiles:
    """Read every file of the console; some 300 KB in memory."""
    contents = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }
    whole = hashlib.sha256()
    for path, content in contents.items():
        whole.update(f"{path}\0{len(content)}\0".encode() + content)
    digest = whole.hexdigest()[:16]
    page = contents.pop("index.html").decode().replace("{base}", f"console/{digest}")
    # Without these lines a browser would learn of a module only from the module that imports it, step by step.
    preloads = "\n".join(
        f'<link rel="modulepreload" href="console/{digest}/{path}">'
        for path in contents
        if path.startswith(_PRELOADED) and path.endswith(".js")
    )
    page = page.replace("<!-- modules -->", preloads)
    return WebFiles(
        digest=digest,
        by_path={path: _web_file(path, content) for path, content in contents.items()},
        page=_web_file("index.html", page.encode()),
    )


def _web_file(path: str, content: bytes) -> WebFile:
    media_type = MEDIA_TYPES[Path(path).suffix]
    return WebFile(media_type, content, gzip.compress(content, mtime=0))
