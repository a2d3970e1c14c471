"""What the gateway exports: /metrics counts what was sent, each request has an id, and no log line has a secret."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.stack.ports import free_port
from shared.domain.identifiers import VersionKey, VersionNumber, is_uuid, new_uuid7
from shared.domain.model_route import Route, Version
from shared.queue import keys
from shared.queue.model_routes import publish
from tests.support.api_client import MODEL, Door, Json
from tests.support.batches import ended, lines, send_lines, zipped
from tests.support.breakable_stack import picture
from tests.support.pictures import data_url, renewed
from tests.support.servers import RedisServer
from tests.support.stack import ENVIRONMENT, Stack
from tests.support.waiting import LIMIT, until

PNG = {"Content-Type": "image/png"}
PROMTOOL = shutil.which("promtool")
REQUESTS, SUBMISSIONS = "darkroom_http_requests_total", "darkroom_submissions_total"
Sample = tuple[str, ...]


def scraped(door: Door) -> dict[Sample, float]:
    """Return every sample by its name and the values of its labels."""
    answer = door.http.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}


class Growth:
    """How much the metrics have grown since this object was made."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._before = scraped(door)

    def of(self, name: str) -> dict[Sample, float]:
        """Return by how much each sample of a metric has grown; those that did not are left out.

        So are those of `/metrics`, and of `/health/ready`, which the supervisor asks for now and then.
        """
        grown = {key: value - self._before.get(key, 0) for key, value in scraped(self._door).items() if key[0] == name}
        own = {"/metrics", "/health/ready"}
        return {key[1:]: amount for key, amount in grown.items() if amount and not own & set(key)}


@pytest.fixture
def growth(door: Door) -> Growth:
    return Growth(door)


# What is counted


def test_submissions_are_counted_by_outcome(door: Door, growth: Growth, image: bytes) -> None:
    door.predicted(image)
    door.predicted(image)
    new = renewed(image)
    with door.workers_stopped():
        ids = [door.accepted(new, headers={"Idempotency-Key": new[41:70].hex()}) for _ in range(3)]
        ids += [door.accepted(new) for _ in range(4)]
    assert len(set(ids)) == 5
    assert growth.of(SUBMISSIONS) == {
        ("digits", "cached"): 1,
        ("digits", "queued"): 2,
        ("digits", "repeated"): 2,
        ("digits", "joined"): 4,
    }
    assert growth.of(REQUESTS) == {("POST", "/v1/predictions", "200"): 2, ("POST", "/v1/predictions", "202"): 7}


def test_every_image_of_an_upload_is_counted(door: Door, growth: Growth, image: bytes) -> None:
    images = [(f"{number}.png", renewed(image)) for number in range(50)]
    made = send_lines(door.http, lines([*images, ("broken.png", b"x")])).json()
    ended(door.http, made["id"])
    assert growth.of(SUBMISSIONS) == {("digits", "queued"): 50, ("digits", "unreadable"): 1}


def test_requests_are_counted_and_timed_by_route(door: Door, growth: Growth, image: bytes) -> None:
    id = door.predicted(image)["id"]
    door.ended(id)
    door.cancel(id)
    for path in ("/v1/predictions/x", f"/v1/predictions/{new_uuid7()}", "/nowhere", "/v1/batches?limit=0"):
        assert door.http.get(path).is_client_error
    assert door.http.delete("/v1/predictions").status_code == 405
    one = "/v1/predictions/{id}"
    assert growth.of(REQUESTS) == {
        ("POST", "/v1/predictions", "200"): 1,
        ("GET", one, "200"): 1,
        ("POST", f"{one}/cancel", "200"): 1,
        ("GET", one, "404"): 2,
        ("GET", "unmatched", "404"): 1,
        ("GET", "/v1/batches", "422"): 1,
        ("DELETE", "/v1/predictions", "405"): 1,
    }
    assert growth.of("darkroom_http_request_duration_seconds_count")["GET", one] == 3
    assert 0 < growth.of("darkroom_http_request_duration_seconds_sum")["GET", one] < 20
    assert scraped(door)["darkroom_http_requests_in_progress",] == 1


@pytest.mark.skipif(PROMTOOL is None, reason="promtool, which comes with Prometheus, is not on PATH")
def test_promtool_accepts_the_metrics(door: Door, image: bytes) -> None:
    door.predicted(image)
    text = door.http.get("/metrics").content
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# The request's id


def test_a_job_has_its_requests_id_and_the_prediction_object_has_not(door: Door, image: bytes) -> None:
    answer = door.submit(image, headers={"X-Request-ID": "from-a-proxy.1"})
    assert answer.headers["x-request-id"] == "from-a-proxy.1"
    id = answer.json()["id"]
    kept = json.loads(door.redis.hget(keys.job_prefix() + id, "request") or "{}")
    assert kept["request_id"] == "from-a-proxy.1"
    assert "request_id" not in door.ended(id)
    door.forget_in_redis(id)
    assert "request_id" not in door.prediction(id)


# The log

SECRET, PASSWORD = "swordfish", "hunter2"  # what no line may hold
LOST = new_uuid7()
"""A prediction that can't be read from Redis."""


@dataclass(frozen=True)
class Told:
    """What a gateway answered, by request id, and everything that it wrote."""

    statuses: dict[str, int]
    written: str

    def lines(self, event: str) -> list[Json]:
        """Return the lines of an event."""
        return [line for line in map(json.loads, self.written.splitlines()) if line["event"] == event]


def requests(image: bytes) -> Iterator[tuple[str, str, Json]]:
    """Yield requests with a secret in every possible place, most of them invalid."""
    one, many, json_body, ndjson = "/v1/predictions", "/v1/batches", "application/json", "application/x-ndjson"
    hook, new, unknown = f"https://hook.example/{SECRET}?key={SECRET}", renewed(image), new_uuid7()
    for content, query in (
        (image, {"webhook": hook}),
        (new, {"webhook": hook, "metadata": f'{{"a": "{SECRET}"}}'}),
        (image[:-9], {"webhook": hook}),
        (SECRET.encode() * 99, {"webhook": hook}),
        (new, {"webhook": f"ftp://{SECRET}"}),
        (new, {"metadata": f'{{"a": "{SECRET}"'}),
        (new, {"model": SECRET}),
        (new, {"version": f"digits:{SECRET}"}),
    ):
        yield "POST", one, {"content": content, "params": query, "headers": PNG}
    yield "POST", one, {"content": new, "headers": PNG | {"Cancel-After": SECRET}}
    for body in (data_url(new), data_url(image[:-9]), f"https://elsewhere.example/{SECRET}"):
        members = {"webhook": hook, "metadata": {"a": SECRET}, SECRET: SECRET}
        yield "POST", one, {"json": members | {"input": {"image": body, SECRET: SECRET}}}
    yield "POST", one, {"content": f'{{"{SECRET}":', "headers": {"Content-Type": json_body}}
    yield "POST", one, {"files": {"image": (SECRET, new)}, "data": {"webhook": hook, SECRET: SECRET}}
    yield "POST", f"/v1/models/{SECRET}/{SECRET}/predictions", {"content": new, "headers": PNG}
    for content in (lines([(SECRET, new), (SECRET, b"x")]), f'{{"{SECRET}"'.encode()):
        yield "POST", many, {"content": content, "headers": {"Content-Type": ndjson}, "params": {"webhook": hook}}
    yield "POST", many, {"files": {"archive": zipped([(f"../{SECRET}", new)])}}
    yield "POST", "/v1/files", {"files": {"content": (SECRET, new)}, "data": {"metadata": SECRET}}
    for path in (f"{one}/{unknown}", f"{one}/{unknown}/stream", f"{many}/{unknown}/stream", one, f"{one}/{SECRET}"):
        yield "GET", path, {"params": {"token": SECRET, "cursor": SECRET}}
    yield "GET", f"/{SECRET}/%0a{SECRET}", {"params": {SECRET: SECRET}}
    yield "GET", "/v1/webhooks/default/secret", {}
    yield "GET", f"{one}/{LOST}", {}


def ask_all(http: httpx.Client, image: bytes) -> dict[str, int]:
    """Send them all and return the statuses by id."""
    statuses = {}
    for number, (method, path, request) in enumerate(requests(image)):
        headers = {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET, "Idempotency-Key": f"{SECRET}-{number}"}
        headers |= {"X-Request-ID": f"r{number}"} | request.pop("headers", {})
        answer = http.request(method, path, headers=headers, **request)
        assert answer.headers["x-request-id"] == f"r{number}"
        statuses[f"r{number}"] = answer.status_code
    return statuses


@pytest.fixture(scope="module")
def told(short_directory: Callable[[], Path]) -> Iterator[Told]:
    """A gateway of the test's own, on a Redis with a password that is killed, and on a Postgres that is down."""
    server, port = RedisServer(short_directory()), free_port()
    number = VersionNumber("1")
    versions = {number: Version(number=number, key=VersionKey("1-m-1"), created_at="")}
    with server.client() as client:
        publish(client, Route(model=MODEL, description="", aliases={"champion": number}, versions=versions))
        client.set(keys.job_prefix() + LOST, SECRET)
        client.config_set("requirepass", PASSWORD)
    environment = ENVIRONMENT | {
        "DARKROOM_REDIS_URL": server.url.replace("unix://", f"unix://:{PASSWORD}@"),
        "DARKROOM_REDIS_TIMEOUT": "0.3",
        "DARKROOM_DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/none",
        "DARKROOM_LOG_REQUESTS": "all",
        "DARKROOM_SERVER_PORT": str(port),
    }
    command = (sys.executable, "-m", "api.server")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT, trust_env=False) as http:
            until(lambda: process.poll() is not None or _alive(http), what="the gateway answers")
            assert process.poll() is None, process.stdout and process.stdout.read()
            statuses = ask_all(http, picture(1))
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(f"{SECRET} / HTTP/1.1\r\n\r\n".encode())
                connection.recv(1000)
            server.kill()
            path, headers = f"/v1/predictions?webhook=https://{SECRET}", PNG | {"X-Request-ID": "lost"}
            statuses["lost"] = http.post(path, content=picture(1), headers=headers).status_code
        process.terminate()
        yield Told(statuses, process.communicate(timeout=LIMIT)[0])
    finally:
        process.kill()
        process.communicate()
        server.kill()


def _alive(http: httpx.Client) -> bool:
    try:
        return http.get("/health/live").is_success
    except httpx.ConnectError:
        return False


def test_no_log_line_contains_a_secret(told: Told) -> None:
    for secret in (SECRET, PASSWORD, "IHDR", "IEND", data_url(picture(1))[22:60]):
        assert secret.lower() not in told.written.lower()
    # All kinds of endings were among them.
    assert {202, 400, 401, 404, 415, 422, 500, 503} == set(told.statuses.values())


def test_every_log_line_is_json_including_the_servers_own(told: Told) -> None:
    events = {json.loads(line)["event"] for line in told.written.splitlines()}
    assert {"request", "redis_lost", "Exception in ASGI application", "Invalid HTTP request received."} < events


def test_every_request_has_one_log_line(told: Told) -> None:
    about = [line for line in told.lines("request") if line["route"] != "/health/live"]
    assert [(line["request_id"], line["status"]) for line in about] == list(told.statuses.items())
    accepted = [line for line in about if line["status"] == 202]
    assert accepted
    for line in accepted:
        assert line["model"] == "digits"
        assert is_uuid(line.get("prediction_id") or line["batch_id"])
    [fault] = told.lines("Exception in ASGI application")
    assert told.statuses[fault["request_id"]] == 500
    assert fault["prediction_id"] == LOST
    assert fault["exception"].count("WRONGTYPE") == 1


def test_the_stacks_gateway_logs_internal_errors_in_the_same_form(door: Door, stack: Stack) -> None:
    door.redis.set(keys.job_prefix() + LOST, "no hash")
    answer = door.http.get(f"/v1/predictions/{LOST}")
    door.redis.delete(keys.job_prefix() + LOST)
    assert answer.status_code == 500
    log = (stack.home / "logs" / "api.log").read_text().splitlines()
    found = [line for line in map(json.loads, log) if line.get("request_id") == answer.headers["x-request-id"]]
    assert [line["event"] for line in found] == ["request", "Exception in ASGI application"]
