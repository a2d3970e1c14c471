"""Reads a file's bytes in order, unpacked where it is gzip; counts them, and holds no more than asked for."""

import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import chain
from typing import BinaryIO, Final

from api.batches.archives.entries import Tally
from shared.domain.errors import ArchiveRefused

PIECE: Final = 64 * 1024
# zlib's value for reading gzip's header and checksum too.
_GZIP: Final = 16 + zlib.MAX_WBITS
# Longest stretch of a gzip file that unpacks to nothing: headers, empty blocks. Endless ones keep a reader busy.
_SILENCE: Final = 1024 * 1024


class Unpacking:
    """Reads pieces as a file; the tally counts them and raises beyond its limits."""

    def __init__(self, pieces: Iterator[bytes], tally: Tally) -> None:
        self._pieces = pieces
        self._tally = tally
        self._piece = b""
        self._at = 0

    def read(self, size: int, *, after: bytes = b"") -> bytes:
        """Return the next bytes, fewer at the end; `after` are those that were read before them."""
        data = self._piece[self._at : self._at + size]
        self._at += len(data)
        if len(data) == size:
            return after + data if after else data
        # BytesIO grows in place and gives its bytes away without a copy; joined pieces would take twice the memory.
        gathered = BytesIO()
        gathered.write(after)
        missing = size - gathered.write(data)
        while missing and (piece := next(self._pieces, b"")):
            self._tally.unpacked(len(piece))
            self._piece, self._at = piece, min(missing, len(piece))
            missing -= gathered.write(piece[: self._at])
        return gathered.getvalue()

    def skip(self, size: int) -> Iterator[None]:
        """Skip bytes, a piece each step."""
        while size > 0 and (piece := self.read(min(size, PIECE))):
            size -= len(piece)
            yield


def read_pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's bytes in pieces."""
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece


def gunzip(file: BinaryIO, *, most_members: int) -> Iterator[bytes]:
    """Yield the unpacked bytes of a gzip file of any number of members (RFC 1952); raises ArchiveRefused if damaged.

    Not by `gzip`: it reads a header's comment and the zeros behind a member byte by byte, and any number of empty
    members in one call.
    """
    packed = read_pieces(file)
    data = next(packed, b"")
    for _ in range(most_members):
        inflater = zlib.decompressobj(_GZIP)
        yield from _inflate(inflater, chain([data], packed))
        data = inflater.unused_data.lstrip(b"\0")
        while not data:
            if not (piece := next(packed, b"")):
                return
            data = piece.lstrip(b"\0")
    raise ArchiveRefused(reason=f"its gzip file has over {most_members:,} members")


def _inflate(inflater: "zlib._Decompress", packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the unpacked bytes of one member; bytes read beyond its end are left in `inflater.unused_data`."""
    silence = 0
    try:
        while not inflater.eof:
            data = inflater.unconsumed_tail or next(packed, b"")
            if not data:
                raise ArchiveRefused(reason="its gzip stream is cut short")
            piece = inflater.decompress(data, PIECE)
            silence = 0 if piece else silence + len(data)
            if silence > _SILENCE:
                raise ArchiveRefused(reason=f"{silence:,} bytes of its gzip stream unpack to nothing")
            if piece:
                yield piece
    except zlib.error as error:
        raise ArchiveRefused(reason=f"its gzip stream is damaged: {str(error).rpartition(': ')[2]}") from None
