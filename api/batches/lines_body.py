"""A bulk upload as NDJSON: a line an image, read while it arrives."""

from collections.abc import AsyncIterator

import orjson
from fastapi import Request

from api.batches.archives.items import Item, Skipped, clean_name
from api.batches.slices import short_chunks
from api.state.body_memory import MemoryHold, largest_in_hand
from api.state.gateway import gateway
from api.state.large_work import off_the_loop
from api.uploads.encoded_images import ImageTextError, Text, is_data_url, read_base64, read_data_url
from api.uploads.json_bodies import BESIDE_THE_IMAGE, JsonBodyError, parse_json_object
from api.uploads.submission_fields import SubmissionFields, collect_fields


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
        """Yield an item for each line, also for one that can't be used; empty lines are skipped."""
        # Base64 writes three bytes as four characters.
        most = self._intake.max_image_bytes * 4 // 3 + BESIDE_THE_IMAGE
        line, size, number, is_blank = bytearray(), 0, 1, True
        async for chunk in short_chunks(self._chunks):
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


def _from_line(line: bytearray, number: int, *, size: int, most: int) -> Item:
    """Return the image of one line, or its problem; its name is the line's `custom_id`, else its number."""
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
