"""The upload that an uploading client is told to send in one request, and what it reports."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import orjson

Kind = Literal["zip", "form", "lines"]
"""One archive, or as many files in a form, or NDJSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One `POST /v1/batches` of `count` images, stamped as a plan's are.

    A zip is built in `folder` before the clock starts; the other kinds are made while they are sent.
    """

    port: int
    kind: Kind
    images: str
    count: int
    stamp: int
    folder: str
    limit: float = 300.0
    """Time limit of the upload in seconds."""

    def as_json(self) -> bytes:
        """Write it for the client's standard input."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `as_json` wrote."""
        return cls(**orjson.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The resulting batch. Times by the monotonic clock: before the first byte, and when the 202 was read."""

    batch: str
    started: float
    accepted: float
    processor_seconds: float

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read what a client wrote."""
        return cls(**orjson.loads(path.read_bytes()))
