"""The uploading client, a process: `python -m benchmarks.load.uploader OUTPUT`, its upload on standard input."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path

import orjson

from benchmarks.load import bodies, children
from benchmarks.load.connection import WrongAnswer
from benchmarks.load.upload import Upload, Uploaded

_FORM = f"multipart/form-data; boundary={bodies.BOUNDARY}"


def send(upload: Upload, headers: dict[str, str], pieces: Iterator[bytes]) -> Uploaded:
    """Send one request and read its answer; without a Content-Length in chunks. Raises WrongAnswer."""
    connection = HTTPConnection("127.0.0.1", upload.port, timeout=upload.limit)
    connection.connect()
    processor, started = time.process_time(), time.monotonic()
    connection.request("POST", "/v1/batches", pieces, headers, encode_chunked="Content-Length" not in headers)
    answer = connection.getresponse()
    body, accepted = answer.read(), time.monotonic()
    spent = time.process_time() - processor
    connection.close()
    if answer.status != 202:
        raise WrongAnswer(f"{answer.status} for an upload of {upload.count} images: {body[:500]!r}")
    return Uploaded(batch=orjson.loads(body)["id"], started=started, accepted=accepted, processor_seconds=spent)


@contextmanager
def prepared(upload: Upload) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
    """Yield headers and body; an archive on disk is deleted afterwards."""
    images = bodies.stamped_images(upload)
    if upload.kind == "zip":
        with tempfile.TemporaryFile(dir=upload.folder) as file:
            bodies.write_zip(file, images)
            length, pieces = bodies.archive_form(file)
            yield {"Content-Type": _FORM, "Content-Length": str(length)}, pieces
    elif upload.kind == "form":
        yield {"Content-Type": _FORM, "Transfer-Encoding": "chunked"}, bodies.images_form(images)
    else:
        yield {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}, bodies.lines(images)


def main() -> None:
    """Prepare, report ready, send when told, write the outcome."""
    upload = Upload.from_json(children.read_task())
    with prepared(upload) as (headers, pieces):
        children.ready()
        uploaded = send(upload, headers, pieces)
    Path(sys.argv[1]).write_bytes(orjson.dumps(asdict(uploaded)))


if __name__ == "__main__":
    main()
