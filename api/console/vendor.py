"""Fetches the console's libraries from npm into `web/vendor/`: run by `make vendor`, never by the gateway.

Each is pinned with the SHA-512 that npm publishes for its archive. Files are taken as they are, but for two changes
that make them modules a browser loads without a build: hooks import Preact by its path, and uPlot exports itself.
"""

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VENDOR: Final = Path(__file__).parent / "web" / "vendor"


@dataclass(frozen=True, slots=True)
class Copied:
    """A file of a library's archive, and its name in `vendor/`."""

    source: str
    name: str
    replaced: tuple[str, str] = ("", "")
    """Text that is replaced in it, and by what."""
    added: str = ""
    """A line at its end."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library on npm."""

    name: str
    version: str
    licence: str
    sha512: str
    """Of its archive, in base64."""
    files: tuple[Copied, ...]


LIBRARIES: Final = (
    Library(
        "preact",
        "11.2.0",
        "MIT",
        "/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        (
            Copied("dist/preact.mjs", "preact.js"),
            Copied("hooks/dist/hooks.mjs", "preact-hooks.js", replaced=('from"preact"', 'from"./preact.js"')),
            Copied("LICENSE", "preact.LICENSE"),
        ),
    ),
    Library(
        "htm",
        "3.1.1",
        "Apache-2.0",
        "983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        (Copied("dist/htm.module.js", "htm.js"), Copied("LICENSE", "htm.LICENSE")),
    ),
    Library(
        "uplot",
        "1.6.32",
        "MIT",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        (
            Copied("dist/uPlot.iife.min.js", "uplot.js", added="export default uPlot;\n"),
            Copied("dist/uPlot.min.css", "uplot.css"),
            Copied("LICENSE", "uplot.LICENSE"),
        ),
    ),
)


class WrongArchive(SystemExit):
    """npm gave another archive than the pinned one; the message is the line people see."""


def fetch_libraries(directory: Path) -> None:
    """Write every library's files, and the README that lists them, into `directory`; raises WrongArchive."""
    rows = []
    for library in LIBRARIES:
        with tempfile.TemporaryDirectory() as scratch:
            archive = _fetch(library, Path(scratch))
            with tarfile.open(archive) as members:
                for copied in library.files:
                    content = _content(members, copied)
                    (directory / copied.name).write_bytes(content)
                    digest = hashlib.sha256(content).hexdigest()
                    rows.append(
                        f"| `{copied.name}` | {library.name} {library.version} | {library.licence} | `{digest}` |"
                    )
    (directory / "README.md").write_text(_README + "\n".join(rows) + "\n", encoding="utf-8")


def _fetch(library: Library, scratch: Path) -> Path:
    """Download a library's archive with npm and return its path; raises WrongArchive."""
    wanted = f"{library.name}@{library.version}"
    command = ["npm", "pack", "--silent", wanted]
    subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  from the table above
    archive = next(scratch.glob("*.tgz"))
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != library.sha512:
        raise WrongArchive(f"{wanted}: npm gave an archive with the SHA-512 {found}, not {library.sha512}")
    return archive


def _content(members: tarfile.TarFile, copied: Copied) -> bytes:
    """Return a file of the archive as it is kept; source maps are not kept, so their line goes."""
    member = members.extractfile(f"package/{copied.source}")
    if member is None:
        raise WrongArchive(f"no file {copied.source} in the archive")
    text = member.read().decode()
    old, new = copied.replaced
    if old not in text:
        raise WrongArchive(f"{copied.source} no longer has {old}")
    text = text.replace(old, new) if old else text
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("//# sourceMappingURL=")]
    return ("".join(lines) + copied.added).encode()


_README: Final = """# Libraries of the console

Written by `make vendor` from npm's archives (`api/console/vendor.py` has their digests). Unchanged, but that the hooks
import Preact by its path and uPlot exports itself as a module.

| file | library | licence | SHA-256 of the file |
| --- | --- | --- | --- |
"""

if __name__ == "__main__":
    fetch_libraries(VENDOR)
