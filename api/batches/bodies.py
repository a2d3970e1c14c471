"""The bodies of bulk uploads: a form of images, a form with an archive, NDJSON. Each gives fields, then items.

Nothing but the image at hand is in memory: images and lines go straight on, an archive is spooled to disk and looked
at as a whole before it gives its first image.
"""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BufferedReader, FileIO
from tempfile import TemporaryFile
from typing import BinaryIO, Final, Protocol, TypeVar, cast

import orjson
from fastapi import Request

from api.batches.archives.archive import open_archive
from api.batches.archives.items import Item, Skipped, clean_name
from api.batches.form_stream import Event, FormStream, PartBegin, PartData, PartEnd
from api.state.body_memory import MemoryHold, largest_in_hand
from api.state.gateway import gateway
from api.state.large_work import off_the_loop
from api.state.threads import in_thread
from api.uploads.encoded_images import (
    ImageTextError,
    Text,
    is_data_url,
    read_base64,
    read_data_url,
)
from api.uploads.json_bodies import BESIDE_THE_IMAGE, JsonBodyError, parse_json_object
from api.uploads.multipart import MOST_PARTS, plain_name
from api.uploads.submission_fields import SubmissionFields, collect_fields
from shared.domain.errors import (
    BadRequest,
    InvalidParameter,
    StorageUnavailable,
    UnsupportedImage,
    UploadTooLarge,
)
from shared.domain.file_names import is_clutter

T = TypeVar("T")

_LINES: Final = "application/x-ndjson"
BODIES: Final = ("multipart/form-data", _LINES)
# No name is registered; these are what libraries and tools send.
_AS_LINES: Final = frozenset((_LINES, "application/ndjson", "application/jsonl", "application/x-jsonlines"))
_IMAGES: Final = "images"
SPOOL_AT_ONCE: Final = 1024 * 1024
# A thread reads an archive a slice at a time; a longer one would hold up the event loop, with which it takes turns.
SLICE: Final = timedelta(milliseconds=2)
SLICE_BYTES: Final = 1024 * 1024
SHORT: Final = 32 * 1024
SPOOL_FULL: Final = timedelta(seconds=60)


class Body(Protocol):
    """One upload's body. First its `fields`, then its `items`; `skipped` holds after them."""

    skipped: Skipped

    async def fields(self) -> SubmissionFields:
        """Return what stands before the first image; raises the contract's errors."""

    def items(self) -> AsyncIterator[Item]:
        """Give every image in order; raises the contract's errors, ClientDisconnect where the client left."""


def read_batch_body(request: Request, chunks: AsyncIterator[bytes], hold: MemoryHold) -> Body:
    """Return the body that the Content-Type names; raises BadRequest, UnsupportedImage or UploadTooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    declared, limit = request.headers.get("content-length", ""), gateway(request).bulk.max_archive_bytes
    if kind == "multipart/form-data":
        return FormBody(request, chunks, hold)
    if kind in _AS_LINES:
        return LinesBody(request, chunks, hold)
    if (declared or "0") == "0" and "transfer-encoding" not in request.headers:
        raise BadRequest(detail="the body is empty")
    if declared.isdecimal() and int(declared) > limit:
        raise UploadTooLarge(size=int(declared), limit=limit)
    raise UnsupportedImage(
        found=f"a body of type {kind[:80]}" if kind else "a body without Content-Type", supported=BODIES
    )


class FormBody:
    """A form: fields first, then any number of `images`, or one `archive`; clutter among the images is skipped."""

    def __init__(self, request: Request, chunks: AsyncIterator[bytes], hold: MemoryHold) -> None:
        self.skipped = Skipped()
        self._hold = hold
        self._most_in_hand = largest_in_hand(gateway(request).intake)
        self._gate = gateway(request)
        self._query = request.query_params.multi_items()
        self._form = FormStream(request.headers["content-type"])
        self._chunks = chunks
        self._events = self._parse()
        self._first: PartBegin | None = None

    async def fields(self) -> SubmissionFields:
        """Return the fields before the first file."""
        pairs: list[tuple[str, object]] = list(self._query)
        name, value = "", bytearray()
        async for event in self._events:
            match event:
                case PartBegin(name) if _file_field(name):
                    self._first = event
                    return collect_fields(pairs, limits=self._gate.intake)
                case PartBegin(name):
                    value = bytearray()
                case PartData(data):
                    value += data
                    if len(value) > BESIDE_THE_IMAGE:
                        raise BadRequest(detail=f"the field {name[:80]!r} has over {BESIDE_THE_IMAGE} bytes")
                case PartEnd() if len(pairs) >= MOST_PARTS:
                    raise BadRequest(detail=f"the form has over {MOST_PARTS} fields before its files")
                case PartEnd():
                    pairs.append((name, value.decode("utf-8", "replace")))
        raise InvalidParameter(detail="the form has neither images nor an archive", pointer="/images")

    async def items(self) -> AsyncIterator[Item]:
        """Give the images as they come, or those of the archive once it is whole."""
        assert self._first is not None  # noqa: S101  fields() comes first
        if _file_field(self._first.name) == _IMAGES:
            async for item in self._images(self._first):
                yield item
            return
        with _spool(self._gate.settings.spool_dir) as file:
            await self._spool_archive(file)
            limits = self._gate.bulk
            archive = open_archive(
                cast("BinaryIO", BufferedReader(file)), limits=limits, max_image_bytes=self._gate.intake.max_image_bytes
            )
            async for _ in _in_slices(archive.check(), self._gate.threads.archives):
                pass
            self.skipped = archive.skipped
            async for item in _in_slices(archive.items(), self._gate.threads.archives):
                yield item

    async def _parse(self) -> AsyncIterator[Event]:
        async for chunk in _short(self._chunks):
            for event in self._form.feed(chunk):
                yield event
        self._form.finish()

    async def _images(self, first: PartBegin) -> AsyncIterator[Item]:
        most = self._gate.intake.max_image_bytes
        name, data, size = first.filename or "", bytearray(), 0
        async for event in self._events:
            match event:
                case PartBegin(field, filename) if _file_field(field) == _IMAGES:
                    name, data, size = filename or "", bytearray(), 0
                case PartBegin():
                    raise _out_of_order(event)
                case PartData(piece):
                    size += len(piece)
                    if size <= most:
                        await self._hold.reach(size, most=self._most_in_hand)
                        data += piece
                case PartEnd() if is_clutter(name) or not (name or size):
                    # Without a name and a byte, it is the field of a page where nobody chose a file.
                    self.skipped.add(name)
                case PartEnd() if size > most:
                    yield Item(clean_name(name), b"", f"{size:,} bytes are over the limit of {most:,}")
                case PartEnd():
                    yield Item(clean_name(name), bytes(data))

    async def _spool_archive(self, file: FileIO) -> None:
        """Write the archive to disk, a megabyte at a time and in a thread."""
        limit, size, waiting = self._gate.bulk.max_archive_bytes, 0, bytearray()
        async for event in self._events:
            match event:
                case PartBegin():
                    raise _out_of_order(event)
                case PartData(piece):
                    waiting += piece
                    size += len(piece)
                    if size > limit:
                        raise UploadTooLarge(size=size, limit=limit)
                    if len(waiting) >= SPOOL_AT_ONCE:
                        await in_thread(self._gate.threads.files, _write, file, bytes(waiting))
                        waiting.clear()
        await in_thread(self._gate.threads.files, _write, file, bytes(waiting))
        file.seek(0)


class LinesBody:
    """NDJSON: a line an image, `{"custom_id": …, "image": "<base64>"}`; the fields are the query's."""

    def __init__(self, request: Request, chunks: AsyncIterator[bytes], hold: MemoryHold) -> None:
        self.skipped = Skipped()
        self._hold = hold
        self._most_in_hand = largest_in_hand(gateway(request).intake)
        self._intake = gateway(request).intake
        self._query = request.query_params.multi_items()
        self._chunks = chunks

    async def fields(self) -> SubmissionFields:
        """Return the query's fields."""
        return collect_fields(self._query, limits=self._intake)

    async def items(self) -> AsyncIterator[Item]:
        """Give an item a line; a line that can't be used is one too, empty lines are none."""
        # Base64 writes three bytes as four characters.
        most = self._intake.max_image_bytes * 4 // 3 + BESIDE_THE_IMAGE
        line, size, number, is_blank = bytearray(), 0, 1, True
        async for chunk in _short(self._chunks):
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                if end == start and not size:
                    number, start = number + 1, end + 1
                    continue
                piece = chunk[start:end]
                size += len(piece)
                is_blank = is_blank and not piece.strip()
                if size <= most:
                    await self._hold.reach(size, most=self._most_in_hand)
                    line += piece
                if size > most or not is_blank:
                    yield await off_the_loop(len(line), _from_line, line, number, size=size, most=most)
                line, size, number, start, is_blank = bytearray(), 0, number + 1, end + 1, True
            piece = chunk[start:]
            size += len(piece)
            is_blank = is_blank and not piece.strip()
            if size <= most:
                await self._hold.reach(size, most=self._most_in_hand)
                line += piece
        if size > most or not is_blank:
            yield await off_the_loop(len(line), _from_line, line, number, size=size, most=most)


async def _short(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give chunks in shorter ones, and others a turn in between: each may hold a thousand lines or parts."""
    async for chunk in chunks:
        for start in range(0, len(chunk), SHORT):
            if start:
                await asyncio.sleep(0)
            yield chunk[start : start + SHORT]


def _from_line(line: bytearray, number: int, *, size: int, most: int) -> Item:
    """Return the image of one line, or what is wrong with it under its id, or its number where it has none."""
    name = f"line {number}"
    if size > most:
        return Item(name, b"", f"the line has {size:,} bytes, over the limit of {most:,}")
    try:
        members, long_texts = parse_json_object(line)
    except orjson.JSONDecodeError as error:
        return Item(name, b"", f"the line is no JSON: {error}")
    except JsonBodyError as error:
        return Item(name, b"", f"the line {error}")
    given = members.get("custom_id")
    if isinstance(given, str | int) and not isinstance(given, bool) and given not in long_texts:
        name = clean_name(str(given)) or name
    image = members.get("image")
    if not isinstance(image, str):
        return Item(name, b"", "the line has no member image with base64 text")
    text: Text = long_texts.get(image, image)
    try:
        return Item(name, read_data_url(text)[1] if is_data_url(text) else read_base64(text))
    except ImageTextError as error:
        return Item(name, b"", f"the line's image {error}")


def _file_field(name: str) -> str:
    """Return which field of files this is, `images` or `archive`; empty for another.

    `image` once or many times, `images[]` and `images[0]` are what people and libraries make of `images`.
    """
    plain = plain_name(name)
    return _IMAGES if plain in (_IMAGES, "image") else plain if plain == "archive" else ""


def _out_of_order(event: PartBegin) -> BadRequest:
    if _file_field(event.name):
        return BadRequest(detail="an upload is many images or one archive")
    return BadRequest(detail=f"the field {event.name[:80]!r} comes after the files; put it before them")


def _spool(folder: object) -> FileIO:
    """Return a file that is gone when it is closed, or its process is killed."""
    try:
        # Without a buffer, whose last bytes would be written where nobody expects it to fail.
        return TemporaryFile(buffering=0, dir=None if folder is None else str(folder))
    except OSError as error:
        raise StorageUnavailable(store=f"the spool folder ({error.strerror})", retry_after=SPOOL_FULL) from None


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageUnavailable(store="the spool folder (it is full)", retry_after=SPOOL_FULL) from None
        raise


async def _in_slices(iterator: Iterator[T], pool: ThreadPoolExecutor) -> AsyncIterator[T]:
    """Give what a blocking iterator gives, which runs in a thread of the pool for milliseconds at a time."""
    more = True
    while more:
        found, more = await in_thread(pool, _slice, iterator)
        for one in found:
            yield one


def _slice(iterator: Iterator[T]) -> tuple[list[T], bool]:
    """Return the next ones, and whether there may be more."""
    found: list[T] = []
    size, until = 0, time.perf_counter() + SLICE.total_seconds()
    while size < SLICE_BYTES and time.perf_counter() < until:
        try:
            one = next(iterator)
        except StopIteration:
            return found, False
        found.append(one)
        if isinstance(one, Item):
            size += len(one.data)
    return found, True
