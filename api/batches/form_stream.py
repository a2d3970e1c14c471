"""Parses a `multipart/form-data` body while it arrives (RFC 7578); only the latest bytes are in memory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from api.uploads.form_headers import read_boundary, read_disposition
from api.uploads.multipart import LONGEST_HEADERS, long_headers
from shared.domain.errors import BadRequest

# The parser's messages end with a position within the chunk, which means nothing to a client.
_PLACE: Final = re.compile(r" (?:\(\d+\)|at (?:index )?\d+)$")


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A field of the form begins; `filename` is None where the client gave none."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the field that began last."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The field that began last is complete."""


Event = PartBegin | PartData | PartEnd


class FormStream:
    """The parser of one form."""

    def __init__(self, content_type: str) -> None:
        """Raise BadRequest where the content type names no boundary that can be used."""
        boundary = read_boundary(content_type)
        self._events: list[Event] = []
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._whole = False
        # A delimiter follows a line break; the first one may stand at the body's very beginning.
        self._preamble: bytes | None = b"\r\n"
        self._delimiter = b"\r\n--" + boundary
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise BadRequest(detail=f"the body is no form: {error}") from None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events of a chunk; raises BadRequest where the body is no such form.

        Events before an error are yielded first, so that the answer does not depend on how the network split the form.
        """
        self._events, problem = [], None
        try:
            self._parser.write(self._after_preamble(chunk))
        except FormParserError as error:
            problem = BadRequest(detail=f"the body is no form: {_PLACE.sub('', str(error))}")
        except BadRequest as error:
            problem = error
        yield from self._events
        if problem:
            raise problem

    def _after_preamble(self, chunk: bytes) -> bytes:
        """Return a chunk without the preamble before the first delimiter; the parser skips it only within a chunk."""
        if self._preamble is None:
            return chunk
        read = self._preamble + chunk
        start = read.find(self._delimiter)
        if start < 0:
            self._preamble = read[1 - len(self._delimiter) :]
            return b""
        self._preamble = None
        return read[start + 2 :]

    def finish(self) -> None:
        """Raise BadRequest where the form is not complete."""
        if not self._whole:
            raise BadRequest(detail="the form ends before its closing boundary")

    def _on_part_begin(self) -> None:
        self._headers, self._header_bytes = {}, 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._bound(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound(end - start)

    def _bound(self, more: int) -> None:
        self._header_bytes += more
        if self._header_bytes > LONGEST_HEADERS:
            raise long_headers()

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition = self._headers.get(b"content-disposition")
        if disposition is None:
            raise BadRequest(detail="a part of the form has no Content-Disposition")
        self._events.append(PartBegin(*read_disposition(disposition)))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _on_part_end(self) -> None:
        self._events.append(PartEnd())

    def _on_end(self) -> None:
        self._whole = True
