"""The open-loop generator sends everything, whatever the answers, and counts them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from PIL import Image

from benchmarks.load import image_files
from benchmarks.load.connection import WrongAnswer
from benchmarks.load.flooder import Flood, Flooder, Washed
from benchmarks.load.plan import Plan
from tests.support.pictures import encoded


class Gateway(ThreadingHTTPServer):
    """Answers with these statuses in turn, and keeps the requests."""

    daemon_threads = True

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.statuses = statuses
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: the second would wait 40 ms for the first one's acknowledgement
    server: Gateway

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(sent)
        status = self.server.statuses[number % len(self.server.statuses)]
        body = b'{"id":"%d"}' % number if status < 300 else b"{}"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def images(tmp_path: Path) -> Path:
    file = tmp_path / "images"
    image_files.write(file, [encoded(Image.new("RGB", (8, 8), color), "PNG") for color in ("red", "blue")])
    return file


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with Gateway(*request.param) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def flood(server: Gateway, images: Path, *, connections: int = 4) -> Flood:
    plan = Plan(
        port=server.server_address[1], path="/", images=str(images), count=0, stamp=7, accepted=202,
        connections=connections, limit=20,
    )  # fmt: skip
    return Flood(plan=plan, rate=400, seconds=0.1)


@pytest.mark.parametrize("serve", [(202, 503, 503, 429)], indirect=True)
@pytest.mark.parametrize("connections", [1, 4])
def test_everything_is_sent_and_counted(serve: Gateway, images: Path, connections: int) -> None:
    washed = Flooder(flood(serve, images, connections=connections)).run()
    assert len(serve.bodies) == len(set(serve.bodies)) == 40, "no cache answers any of them"
    assert len(washed.ids) == len(set(washed.ids)) == len(washed.numbers) == len(washed.accepted_milliseconds) == 10
    assert len(washed.refused_milliseconds) == 30
    assert set(washed.numbers) <= set(range(40))


@pytest.mark.parametrize("serve", [(202, 500)], indirect=True)
def test_any_other_answer_counts_as_wrong(serve: Gateway, images: Path) -> None:
    with pytest.raises(WrongAnswer, match="500 for image"):
        Flooder(flood(serve, images)).run()


def test_plans_and_outcomes_survive_json(tmp_path: Path) -> None:
    plan = Plan(port=1, path="/", images="x", count=0, stamp=1, accepted=202)
    told = Flood(plan=plan, rate=2.5, seconds=10)
    assert Flood.from_json(told.as_json()).as_json() == told.as_json()
    assert told.count == 25
    found = Washed(started=1, ended=2, ids=["a"], numbers=[3], accepted_milliseconds=[1.5], refused_milliseconds=[])

    (tmp_path / "found").write_bytes(orjson.dumps(found))
    assert Washed.from_file(tmp_path / "found") == found
