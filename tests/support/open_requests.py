"""Requests that are still open: half a body, part of a bulk upload, waiting, streaming; and how they are answered."""

import base64
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.batches.writer import CHUNK_ITEMS
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT

FORM = "multipart/form-data; boundary=b"
MORE_THAN_ONE_CALL = CHUNK_ITEMS + 8
"""Images of an upload that is open: the first of them are enqueued."""


class Open:
    """One request on a connection of its own, of which part has been sent."""

    def __init__(self, url: str, key: str, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._link = socket.create_connection((host, int(port)), timeout=LIMIT)
        given = {"Host": f"{host}:{port}"} | ({"Authorization": f"Bearer {key}"} if key else {}) | headers
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
        self._link.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        self.said = b""

    def send(self, data: bytes) -> None:
        """Send more of the body."""
        self._link.sendall(data)

    def read(self, *, until_it_says: bytes) -> None:
        """Read until that has come."""
        while until_it_says not in self.said:
            piece = self._link.recv(65536)
            assert piece, self.said
            self.said += piece

    def rest(self) -> bytes:
        """Read until the answer is whole, or the connection ends."""
        while not self._is_whole():
            try:
                piece = self._link.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            self.said += piece
        self.close()
        return self.said

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _is_whole(self) -> bool:
        length = re.search(rb"(?i)content-length: (\d+)\r\n", self.said)
        return bool(length) and len(self.said.partition(b"\r\n\r\n")[2]) >= int(length[1])  # type: ignore[index]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def line(image: bytes) -> bytes:
    return b'{"image": "%b"}\n' % base64.b64encode(image)


Begin = Callable[[str, str, bytes, str], Open]


def half_an_image(url: str, key: str, scan: bytes, _: str) -> Open:
    image = renewed(scan)
    return Open(
        url, key, "POST", "/v1/predictions", image[:-30], Content_Type="image/png", Content_Length=str(len(image))
    )


def half_a_form(url: str, key: str, scan: bytes, _: str) -> Open:
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="1.png"\r\n\r\n' + renewed(scan)
    return Open(url, key, "POST", "/v1/predictions", body, Content_Type=FORM, Content_Length=str(len(body) + 9))


def half_a_json(url: str, key: str, _: bytes, __: str) -> Open:
    return Open(url, key, "POST", "/v1/predictions", b'{"input":', Content_Type="application/json", Content_Length="90")


def half_a_file(url: str, key: str, scan: bytes, _: str) -> Open:
    body = b'--b\r\nContent-Disposition: form-data; name="content"; filename="1.png"\r\n\r\n' + renewed(scan)
    return Open(url, key, "POST", "/v1/files", body, Content_Type=FORM, Content_Length=str(len(body) + 9))


def some_lines(url: str, key: str, scan: bytes, _: str) -> Open:
    body = b"".join(chunk(line(renewed(scan))) for _ in range(MORE_THAN_ONE_CALL))
    headers = {"Content_Type": "application/x-ndjson", "Transfer_Encoding": "chunked"}
    return Open(url, key, "POST", "/v1/batches?model=digits", body, **headers)


def some_images(url: str, key: str, scan: bytes, _: str) -> Open:
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="1.png"\r\n\r\n%b\r\n'
    body = b"".join(chunk(part % renewed(scan)) for _ in range(MORE_THAN_ONE_CALL))
    return Open(url, key, "POST", "/v1/batches?model=digits", body, Content_Type=FORM, Transfer_Encoding="chunked")


def half_an_archive(url: str, key: str, _: bytes, __: str) -> Open:
    part = b'--b\r\nContent-Disposition: form-data; name="archive"; filename="1.zip"\r\n\r\nPK\x03\x04'
    return Open(
        url, key, "POST", "/v1/batches?model=digits", chunk(part), Content_Type=FORM, Transfer_Encoding="chunked"
    )


def waiting_for_a_new_one(url: str, key: str, scan: bytes, _: str) -> Open:
    image = renewed(scan)
    headers = {"Content_Type": "image/png", "Content_Length": str(len(image)), "Prefer": "wait=60"}
    return Open(url, key, "POST", "/v1/predictions", image, **headers)


def waiting_for_one(url: str, key: str, _: bytes, id: str) -> Open:
    return Open(url, key, "GET", f"/v1/predictions/{id}", Prefer="wait=60")


def following(url: str, key: str, _: bytes, id: str) -> Open:
    stream = Open(url, key, "GET", f"/v1/predictions/{id}/stream")
    stream.read(until_it_says=b"data: starting")
    return stream


UPLOADS: list[Begin] = [half_an_image, half_a_form, half_a_json, half_a_file, some_lines, some_images, half_an_archive]
WAITS: list[Begin] = [waiting_for_a_new_one, waiting_for_one]


@contextmanager
def finishing(open_requests: list[Open]) -> Iterator[list[bytes]]:
    """Read the answers to open requests while something else is done; the list is complete afterwards."""
    found: list[bytes] = [b""] * len(open_requests)

    def read(number: int) -> None:
        found[number] = open_requests[number].rest()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(open_requests))]
    for thread in threads:
        thread.start()
    yield found
    for thread in threads:
        thread.join(timeout=LIMIT)
        assert not thread.is_alive()
