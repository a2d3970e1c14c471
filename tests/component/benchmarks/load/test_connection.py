import socket
import time
from collections.abc import Iterator

import pytest

from benchmarks.load.connection import Connection, WrongAnswer

ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and the server's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(listener.getsockname()[1])
        server, _ = listener.accept()
        yield connection, server
        connection.close()
        server.close()


def arrived(connection: Connection, server: socket.socket, piece: bytes) -> tuple[int, bytes] | None:
    server.sendall(piece)
    time.sleep(0.02)
    return connection.receive()


def test_an_answer_in_pieces_is_read_when_complete(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    assert connection.send(b"GET / HTTP/1.1\r\n\r\n")
    assert arrived(connection, server, ANSWER[:30]) is None
    assert arrived(connection, server, ANSWER[30:] + b'{"a"') is None
    assert arrived(connection, server, b":1}") == (202, b'{"a":1}')
    assert arrived(connection, server, ANSWER + b"7 bytes") == (202, b"7 bytes")


def test_an_answer_in_chunks_is_read_when_the_last_one_is_there(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert arrived(connection, server, head + b'4\r\n{"a"\r\n') is None
    assert arrived(connection, server, b"3\r\n:1}\r\n0\r\n\r\n") == (200, b'{"a":1}')
    assert arrived(connection, server, ANSWER + b"7 bytes") == (202, b"7 bytes")


@pytest.mark.parametrize(
    "piece", [ANSWER + b'{"a":1}more', b"HTTP/1.1 200 OK\r\n\r\n"], ids=["two answers", "no length"]
)
def test_an_invalid_response_is_a_wrong_answer(pair: tuple[Connection, socket.socket], piece: bytes) -> None:
    connection, server = pair
    with pytest.raises(WrongAnswer):
        arrived(connection, server, piece)


def test_a_closed_connection_is_a_wrong_answer(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.close()
    time.sleep(0.02)
    with pytest.raises(WrongAnswer, match="closed"):
        connection.receive()


def test_a_request_larger_than_the_socket_buffer_is_sent_in_parts(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    request = b"x" * 20_000_000
    whole, received = connection.send(request), 0
    assert not whole
    while received < len(request):
        received += len(server.recv(1 << 20))
        whole = whole or connection.send_rest()
    assert whole
