"""The plan that a load generator is given, and the outcome it reports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the generator: `count` requests, one image each, never two at once on a connection.

    Image n is base image n modulo their number, stamped with `stamp` and n, so that no two plans with
    different stamps (below 2**20) share an image.
    """

    port: int
    path: str
    images: str
    count: int
    stamp: int
    accepted: int
    """The status that a POST must be answered with."""
    id_mark: str = '"id":"'
    class_mark: str = '"predicted_class":"'
    """What stands before the id, and before the class, in an answer's JSON."""
    connections: int = 64
    prefer: str = ""
    form: bool = False
    """Send multipart/form-data with a file field `image`, instead of the raw bytes."""
    template: str = ""
    """JSON to send instead, in which BASE64 stands for the image."""
    poll_path: str = ""
    """Path to poll, followed by the id, until the answer has the `done_mark`; empty: do not poll."""
    poll_pause: float = 0.01
    done_mark: str = '"SUCCESS"'
    failed_mark: str = '"FAILURE"'
    """What a polled answer has where there is a result, and where there will be none."""
    result_path: str = ""
    """Path to read the result from then, followed by the id; empty: the polled answer has it."""
    paths: Sequence[str] = ()
    """Image n is sent to the path at n modulo their number; empty: all are sent to `path`."""
    limit: float = 180.0
    """Time limit of the run in seconds."""

    def as_json(self) -> bytes:
        """Write it for the generator's standard input."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `as_json` wrote."""
        return cls(**orjson.loads(text))

    def path_of(self, number: int) -> str:
        """Return the path that image `number` is sent to."""
        return self.paths[number % len(self.paths)] if self.paths else self.path

    def content_type(self, image: bytes) -> str:
        """Return the Content-Type of the request."""
        return "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run; item n of each list belongs to image n.

    `started` and `ended` are of the monotonic clock, which all processes of a machine share. `classes`
    is empty where the answers held none.
    """

    started: float
    ended: float
    processor_seconds: float
    ids: list[str]
    classes: list[str]
    milliseconds: list[float]

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read what a generator wrote."""
        return cls(**orjson.loads(path.read_bytes()))
