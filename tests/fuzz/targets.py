"""Fuzz targets: the readers of clients' bytes, each a function of bytes that reads or refuses them.

Anything else that is raised, and work out of proportion to the input, is a finding. `make fuzz` searches for findings;
`tests/unit/fuzz` replays the seeds and what was found.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from fastapi import Request

from api.batches.archives.archive import open_archive
from api.batches.archives.items import Item
from api.batches.form_body import FormBody
from api.batches.form_stream import FormStream, PartBegin, PartData
from api.batches.lines_body import LinesBody
from api.state.body_memory import BodyMemory, MemoryHold
from api.state.threads import Threads
from api.uploads.bodies import read_file, read_prediction
from api.uploads.multipart import parse_form
from shared.domain.errors import ArchiveRefused, BadRequest, DarkroomError
from shared.domain.file_names import showable_name
from shared.domain.identifiers import ANYONE
from shared.settings import Bulk, Gateway, Intake
from tests.fuzz.images import image

T = TypeVar("T")

MOST_BYTES: Final = 64 * 1024
"""Of an input."""
MOST_SECONDS: Final = 0.5
"""Of processor time for one input; a megabyte of anything honest takes a hundredth of it."""
DEFAULT_INTAKE: Final = Intake()
INTAKE: Final = Intake(max_image_bytes=2 * MOST_BYTES)
BULK: Final = Bulk(max_unpacked_bytes=4 * 1024**2, ratio_from_bytes=1024**2, max_entries=2000)
FORM: Final = "multipart/form-data; boundary=B"
CUT: Final = 7


class Finding(Exception):
    """An input showed a bug."""


def multipart(data: bytes) -> None:
    """Parse a form in memory, and the same form as a stream: they agree where the first accepts it."""
    whole = _form(data)
    streamed = _form_stream(data)
    if whole is not None and streamed is not None and [part[2] for part in whole] != [part[2] for part in streamed]:
        raise Finding("a form is read in two ways")


def submission(data: bytes) -> None:
    """Read a form or a JSON object as a prediction, and a form as a file; the first byte chooses."""
    kind = FORM if data[:1] != b"{" else "application/json"
    with contextlib.suppress(DarkroomError):
        _awaited(read_prediction(_request([data], kind), limits=INTAKE, hold=_hold()))
    if kind == FORM:
        with contextlib.suppress(DarkroomError):
            _awaited(read_file(_request([data], kind), limits=INTAKE, hold=_hold()))


def form(data: bytes) -> None:
    """Read a bulk form whole and cut in pieces: the outcome is one."""
    _same_however_cut(data, FORM)


def lines(data: bytes) -> None:
    """Read NDJSON whole and cut in pieces: the outcome is one."""
    _same_however_cut(data, "application/x-ndjson")


def archive(data: bytes) -> None:
    """Read a zip, tar or tar.gz: an archive that passed the check is read without an error."""
    try:
        found = open_archive(io.BytesIO(data), limits=BULK, max_image_bytes=INTAKE.max_image_bytes)
        for _ in found.check():
            pass
    except DarkroomError:
        return
    try:
        items = list(found.items())
    except ArchiveRefused as error:
        raise Finding("an archive is refused after its check") from error
    if sum(len(item.data) for item in items) > BULK.max_unpacked_bytes:
        raise Finding("an archive gives more than was counted")
    if any(not item.name or item.name != showable_name(item.name) for item in items):
        raise Finding("an entry has a name that can't be shown")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "multipart": multipart,
    "submission": submission,
    "form": form,
    "lines": lines,
    "zip": archive,
    "tar": archive,
    "gzip": archive,
    "image": image,
}


def run(name: str, data: bytes) -> None:
    """Run one target on one input; raises whatever is a finding."""
    started = time.process_time()
    TARGETS[name](data)
    seconds = time.process_time() - started
    if seconds > MOST_SECONDS:
        raise Finding(f"{len(data):,} bytes took {seconds:.2f} s")


def _form(data: bytes) -> list[tuple[str, str | None, bytes]] | None:
    try:
        return [(part.name, part.filename, part.data) for part in parse_form(data, content_type=FORM)]
    except BadRequest:
        return None


def _form_stream(data: bytes) -> list[tuple[str, str | None, bytes]] | None:
    found: list[tuple[str, str | None, bytes]] = []
    try:
        form = FormStream(FORM)
        for event in form.feed(data):
            match event:
                case PartBegin(name, filename):
                    found.append((name, filename, b""))
                case PartData(piece):
                    name, filename, before = found[-1]
                    found[-1] = (name, filename, before + piece)
        form.finish()
    except BadRequest:
        return None
    return found


def _same_however_cut(data: bytes, kind: str) -> None:
    outcomes = [_awaited(_outcome(pieces, kind)) for pieces in ([data], _cut(data))]
    if outcomes[0] != outcomes[1]:
        raise Finding(f"{outcomes[0]!r:.300} or, cut, {outcomes[1]!r:.300}")


def _cut(data: bytes) -> list[bytes]:
    size = max(CUT, len(data) // 50)
    return [data[start : start + size] for start in range(0, len(data), size)]


async def _outcome(pieces: list[bytes], kind: str) -> list[Item] | str:
    request = _request(pieces, kind)
    try:
        body = (FormBody if kind == FORM else LinesBody)(request, _given(pieces), _hold())
        await body.fields()
        return [item async for item in body.items()]
    except DarkroomError as error:
        return type(error).__name__


def _hold() -> MemoryHold:
    return BodyMemory(DEFAULT_INTAKE).hold(ANYONE)


def _awaited(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result; one event loop for all inputs halves the time of a short one."""
    return _loop().run_until_complete(work)


@cache
def _threads() -> Threads:
    return Threads(asks=1)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


async def _given(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _request(pieces: list[bytes], kind: str) -> Request:
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    )

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.request", "body": b""})

    gate = SimpleNamespace(settings=Gateway(), intake=INTAKE, bulk=BULK, threads=_threads())
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-type", kind.encode())],
        "app": SimpleNamespace(state=SimpleNamespace(gateway=gate)),
    }
    return Request(scope, receive)
