"""A bulk upload as a form: any number of images, or one archive, read while it arrives."""

from collections.abc import AsyncIterator
from io import BufferedReader, FileIO
from typing import BinaryIO, Final, cast

from fastapi import Request

from api.batches.archives.archive import open_archive
from api.batches.archives.items import Item, Skipped, clean_name
from api.batches.form_stream import Event, FormStream, PartBegin, PartData, PartEnd
from api.batches.slices import in_slices, short_chunks
from api.batches.spool import open_spool, write_spool
from api.state.body_memory import MemoryHold, largest_in_hand
from api.state.gateway import gateway
from api.state.threads import in_thread
from api.uploads.json_bodies import BESIDE_THE_IMAGE
from api.uploads.multipart import MOST_PARTS, plain_name
from api.uploads.submission_fields import SubmissionFields, collect_fields
from shared.domain.errors import BadRequest, InvalidParameter, UploadTooLarge
from shared.domain.file_names import is_clutter

SPOOL_AT_ONCE: Final = 1024 * 1024
_IMAGES: Final = "images"


class FormBody:
    """A form: fields first, then any number of `images`, or one `archive`. Clutter among the images is skipped."""

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
        """Yield the images as they arrive, or those of the archive once it is complete and checked."""
        assert self._first is not None  # noqa: S101  fields() comes first
        if _file_field(self._first.name) == _IMAGES:
            async for item in self._images(self._first):
                yield item
            return
        with open_spool(self._gate.settings.spool_dir) as file:
            await self._spool_archive(file)
            limits = self._gate.bulk
            archive = open_archive(
                cast("BinaryIO", BufferedReader(file)), limits=limits, max_image_bytes=self._gate.intake.max_image_bytes
            )
            async for _ in in_slices(archive.check(), self._gate.threads.archives):
                pass
            self.skipped = archive.skipped
            async for item in in_slices(archive.items(), self._gate.threads.archives):
                yield item

    async def _parse(self) -> AsyncIterator[Event]:
        async for chunk in short_chunks(self._chunks):
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
                    # A field without name and content is what a web page sends where no file was chosen.
                    self.skipped.add(name)
                case PartEnd() if size > most:
                    yield Item(clean_name(name), b"", f"{size:,} bytes are over the limit of {most:,}")
                case PartEnd():
                    yield Item(clean_name(name), bytes(data))

    async def _spool_archive(self, file: FileIO) -> None:
        """Write the archive to disk in a thread, a megabyte at a time."""
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
                        await in_thread(self._gate.threads.files, write_spool, file, bytes(waiting))
                        waiting.clear()
        await in_thread(self._gate.threads.files, write_spool, file, bytes(waiting))
        file.seek(0)


def _file_field(name: str) -> str:
    """Return which field of files a name means, `images` or `archive`; empty for another.

    `image`, `images[]` and `images[0]` are accepted for `images`: people and libraries write them.
    """
    plain = plain_name(name)
    return _IMAGES if plain in (_IMAGES, "image") else plain if plain == "archive" else ""


def _out_of_order(event: PartBegin) -> BadRequest:
    if _file_field(event.name):
        return BadRequest(detail="an upload is many images or one archive")
    return BadRequest(detail=f"the field {event.name[:80]!r} comes after the files; put it before them")
