"""Everything of docker-compose.yml, running outside Docker: its command lines, environments, users, volumes, networks.

The tests run in this order on one composition: use, scale, kill, inspect, stop, start again.

Over 300 lines: its tests share their helpers.
"""

import io
import json
import zipfile
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.containers.composition import FILE, GPU_FILE, filled_in, services
from tests.containers.running import Composition, Container
from tests.support import waiting
from tests.support.pictures import renewed

STOPPED = (0, 143)
"""What `docker stop` leaves: a program's own end, or SIGTERM's."""
ENDED_BY_FORCE = 137


until = partial(waiting.until, pause=0.2)


@pytest.fixture(scope="session")
def digits(composition: Composition, workshop: Path) -> list[Path]:
    """Images that `setup` has written and the model has never seen; the file's name begins with what it shows."""
    assert composition.one("setup").program.status == 0
    return sorted((workshop / "volumes/held-out").glob("*.png"))


@dataclass(frozen=True)
class Api:
    """A client of the gateway with a key."""

    container: Container
    key: str

    def ask(
        self, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.key}"} | (headers or {})
        return self.container.ask(method, path, port=8000, body=body, headers=headers)


@pytest.fixture(scope="session")
def api(composition: Composition) -> Api:
    said = composition.run("setup", "darkroom", "keys", "create", "tests")
    found = Api(composition.one("api"), said.split()[0])
    # A worker of all models is healthy before it has loaded any.
    until(lambda: found.ask("GET", "/v1/models/digits")[0] == HTTPStatus.OK, seconds=60, what="digits is not served")
    return found


def submit(api: Api, image: bytes, *, wait: int = 0) -> dict[str, Any]:
    headers = {"Content-Type": "image/png"} | ({"Prefer": f"wait={wait}"} if wait else {})
    status, answer = api.ask("POST", "/v1/predictions", body=image, headers=headers)
    assert status in (200, 201, 202), answer
    return dict(answer)


def get(api: Api, path: str) -> Any:
    status, answer = api.ask("GET", path)
    assert status == 200, answer
    return answer


def upload(api: Api, digits: list[Path], *, count: int) -> str:
    """Submit a batch of images that nobody has ever sent; return its id."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(count):
            file.writestr(f"{number:06}.png", renewed(digits[number % len(digits)].read_bytes()))
    boundary = "a-boundary"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\ndigits\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="archive"; filename="digits.zip"\r\n\r\n'.encode(),
        archive.getvalue(),
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, answer = api.ask("POST", "/v1/batches", body=b"".join(parts), headers=headers)
    assert status == 202, answer
    return str(answer["id"])


def counts(api: Api, batch: str) -> dict[str, int]:
    return dict(get(api, f"/v1/batches/{batch}")["request_counts"])


def redis_says(composition: Composition, *command: str) -> list[str]:
    answer = composition.one("redis").program.run(["redis-cli", *command])
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def postgres_says(composition: Composition, query: str) -> str:
    postgres = composition.one("postgres")
    password = postgres.service.environment["DARKROOM_DATABASE_PASSWORD"]
    to = f"postgresql://darkroom:{password}@127.0.0.1/darkroom"
    answer = postgres.program.run(["psql", "--no-align", "--tuples-only", "--command", query, to])
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_an_image_is_predicted_by_the_model_that_setup_trained(api: Api, digits: list[Path]) -> None:
    answers = [submit(api, image.read_bytes(), wait=60) for image in digits[::36]]
    assert [answer["status"] for answer in answers] == ["succeeded"] * len(answers)
    right = [
        answer["output"]["predicted_class"] == image.name[0]
        for answer, image in zip(answers, digits[::36], strict=True)
    ]
    assert sum(right) >= len(right) - 1
    ready = get(api, "/health/ready")
    assert (ready["status"], ready["down"], ready["degraded"]) == ("ready", [], [])
    assert ready["limits"]["wire"]


def test_a_prediction_has_its_row_and_its_line_in_the_record_workers_log(
    api: Api, digits: list[Path], composition: Composition
) -> None:
    id = submit(api, renewed(digits[0].read_bytes()), wait=60)["id"]
    until(
        lambda: postgres_says(composition, f"SELECT status FROM predictions WHERE id = '{id}'") == "succeeded",  # noqa: S608  an id of ours
        seconds=30, what="no row",
    )  # fmt: skip
    lines = [json.loads(line) for line in composition.one("record").program.log.read_text().splitlines() if id in line]
    assert [line["status"] for line in lines] == ["succeeded"]


def test_kept_pictures_that_predict_writes_are_record_s_to_delete(composition: Composition) -> None:
    """As users without rights, in the volume that both have: `predict` keeps them, upkeep deletes them."""
    name = "/pictures/kept/ann/digits/ab/abc.png"
    write = f"mkdir -p $(dirname {name}) && echo one > {name} && id -u"
    delete = f"cat {name} && rm {name} && rmdir $(dirname {name}) && id -u"
    written = composition.one("predict").program.run(["sh", "-c", write])
    deleted = composition.one("record").program.run(["sh", "-c", delete])
    assert (written.returncode, deleted.returncode) == (0, 0), written.stderr + deleted.stderr
    assert deleted.stdout.split() == ["one", written.stdout.strip()]
    assert written.stdout.strip() != "0"


def test_requests_without_a_key_are_refused(api: Api) -> None:
    for headers in ({}, {"Authorization": f"Bearer dk_{'x' * 43}"}):
        assert api.container.ask("GET", "/v1/predictions", port=8000, headers=headers)[0] == 401


def test_everything_was_started_after_what_it_needs(composition: Composition) -> None:
    for service in composition.services.values():
        for needed in service.needs:
            assert composition.started.index(needed) < composition.started.index(service.name)


def test_models_are_in_the_store_that_only_mlflow_reaches(composition: Composition) -> None:
    listing = """
import boto3
found = boto3.client("s3", endpoint_url="http://store:8333").list_objects_v2(Bucket="mlflow")["Contents"]
print(*(one["Key"] for one in found if one["Size"]), sep="\\n")
"""
    answer = composition.one("mlflow").program.run(["python", "-c", listing])
    assert any(key.endswith("/data/model.pt2") for key in answer.stdout.splitlines()), answer.stderr
    address = composition.one("store").address
    for host in ("store", address):
        code = f"import socket; socket.create_connection(('{host}', 8333), timeout=3)"
        assert composition.one("api").program.run(["python", "-c", code]).returncode != 0, host


def test_the_model_store_requires_its_key(composition: Composition) -> None:
    assert composition.one("mlflow").ask("GET", "/mlflow", host=composition.one("store").address, port=8333)[0] == 403


@pytest.mark.parametrize(
    ("host", "status"), [("mlflow:5000", 200), ("localhost:5001", 200), ("127.0.0.1:5000", 200), ("evil.example", 403)]
)
def test_mlflow_answers_only_to_its_own_host_names(host: str, status: int, composition: Composition) -> None:
    headers = {"Host": host}
    path = "/api/2.0/mlflow/registered-models/get?name=digits"
    assert composition.one("mlflow").ask("GET", path, port=5000, headers=headers)[0] == status


def test_redis_requires_its_password(composition: Composition) -> None:
    answer = composition.one("redis").program.run(["env", "--unset=REDISCLI_AUTH", "redis-cli", "PING"])
    assert "NOAUTH" in answer.stdout


def test_each_database_is_closed_to_the_others_owner(composition: Composition) -> None:
    postgres = composition.one("postgres")
    password = postgres.service.environment["MLFLOW_DATABASE_PASSWORD"]
    to = f"postgresql://mlflow:{password}@127.0.0.1/darkroom"
    answer = postgres.program.run(["psql", "--command", "SELECT 1", to])
    assert "permission denied for database" in answer.stderr


def test_flower_requires_its_login_and_shows_every_worker(composition: Composition) -> None:
    flower = composition.one("flower")

    def ask(path: str, login: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
        return flower.ask("GET", path, port=5555, headers=headers)

    right = flower.service.environment["FLOWER_BASIC_AUTH"]
    for path in ("/", "/workers", "/api/workers"):
        assert [ask(path, login)[0] for login in ("", f"{right}x", right)] == [401, 401, 200], path
    expected = {f"celery@{composition.one(name).name}" for name in ("predict", "record", "webhooks")}

    def online() -> set[str]:
        return {name for name, is_online in ask("/api/workers?status=1", right)[1].items() if is_online}

    until(lambda: expected <= online(), seconds=30, what="not every worker is online")


def test_a_second_predict_worker_is_seen_by_every_service(api: Api, composition: Composition) -> None:
    second = composition.add(composition.services["predict"])
    composition.wait_healthy(second)
    until(lambda: get(api, "/v1/models/digits")["workers"] == 2, seconds=60, what="the second worker is not counted")
    if "prometheus" in composition.services:
        prometheus = composition.one("prometheus")

        def targets() -> list[tuple[str, str]]:
            found = prometheus.ask("GET", "/api/v1/targets", port=9090)[1]["data"]["activeTargets"]
            return sorted((target["labels"]["job"], target["health"]) for target in found)

        jobs = ("api", "flower", "predict", "predict", "prometheus", "record", "webhooks")
        until(lambda: targets() == [(job, "up") for job in jobs], seconds=90, what="not all targets are up")
    status, _ = composition.remove(second)
    assert status in STOPPED
    until(lambda: get(api, "/v1/models/digits")["workers"] == 1, seconds=30, what="a stopped worker is still counted")


def test_prometheus_has_its_rules(composition: Composition) -> None:
    if "prometheus" not in composition.services:
        pytest.skip("this machine has no prometheus")
    _, answer = composition.one("prometheus").ask("GET", "/api/v1/rules", port=9090)
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert rules
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_a_pool_of_two_threads_as_on_a_gpu_serves(api: Api, composition: Composition, tmp_path: Path) -> None:
    service = services(filled_in(tmp_path), FILE, GPU_FILE)["predict"]
    # The device is all that this machine lacks.
    service = replace(
        service, said=service.said | {"environment": service.environment | {"DARKROOM_PREDICT_DEVICE": "cpu"}}
    )
    second = composition.add(service)
    composition.wait_healthy(second)
    until(lambda: get(api, "/v1/models/digits")["workers"] == 2, seconds=60, what="the threads' worker is not counted")
    assert composition.remove(second)[0] in STOPPED


def test_a_stopped_predict_worker_finishes_its_work_in_hand(
    api: Api, digits: list[Path], composition: Composition
) -> None:
    predict = composition.one("predict")
    composition.stop(predict)
    count = 6000
    batch = upload(api, digits, count=count)
    composition.again(predict)
    until(lambda: counts(api, batch)["succeeded"] > 0, seconds=60, what="nothing is computed")
    status, seconds = composition.stop(predict)
    lane = f"lane:digits:bulk:{batch}"
    in_hand, waiting = (
        int(redis_says(composition, "XPENDING", lane, "workers")[0]),
        int(redis_says(composition, "XLEN", lane)[0]),
    )
    assert (status in STOPPED, in_hand) == (True, 0)
    assert waiting > 0, "it was done before it was stopped; the test needs more images"
    assert seconds < 30
    composition.again(predict)
    until(lambda: counts(api, batch)["succeeded"] == count, seconds=120, what="the rest is not computed")
    query = f"SELECT count(*), max(attempts) FROM predictions WHERE batch_id = '{batch}'"  # noqa: S608  an id of ours
    assert postgres_says(composition, query) == f"{count}|1"


def test_a_killed_predict_worker_restarted_under_its_name_loses_nothing(
    api: Api, digits: list[Path], composition: Composition
) -> None:
    predict = composition.one("predict")
    composition.wait_healthy(predict)
    batch = upload(api, digits, count=4000)
    until(lambda: counts(api, batch)["succeeded"] > 0, seconds=60, what="nothing is computed")
    predict.program.kill()
    assert predict.program.status == ENDED_BY_FORCE
    composition.again(predict)
    until(lambda: counts(api, batch)["succeeded"] == 4000, seconds=120, what="not all are computed")


def test_no_service_needs_half_of_its_memory_limit(composition: Composition) -> None:
    used = {
        container.name: (container.program.resident_bytes() >> 20, int(container.service.said["mem_limit"]) >> 20)
        for container in composition.containers
        if container.program.status is None
    }
    assert {name: both for name, both in used.items() if both[0] * 2 > both[1]} == {}


def test_health_checks_are_cheap(composition: Composition) -> None:
    share = {
        container.name: min(container.check_seconds) / container.service.check_seconds("interval")
        for container in composition.containers
        if container.check_seconds
    }
    # All together less than a twentieth of one core.
    assert sum(share.values()) < 0.05, share


def test_a_hanging_service_is_not_healthy(composition: Composition) -> None:
    servers = [one for one in composition.containers if one.service.health and one.service.name != "beat"]
    with ExitStack() as held, ThreadPoolExecutor(len(servers)) as threads:
        for container in servers:
            held.enter_context(container.program.held_still())
        healthy = dict(zip([one.name for one in servers], threads.map(Container.is_healthy, servers), strict=True))
    assert healthy == dict.fromkeys(healthy, False)
    for container in servers:
        composition.wait_healthy(container)


def test_a_beat_that_stopped_sending_is_not_healthy(composition: Composition) -> None:
    beat = composition.one("beat")
    with beat.program.held_still():
        beat.program.run(["sh", "-c", "touch --date='3 minutes ago' /tmp/rung"])
        assert not beat.is_healthy()
    until(beat.is_healthy, seconds=30, what="beat does not ring")


def test_every_service_stops_in_time_and_restarts_with_its_data(
    api: Api, digits: list[Path], composition: Composition
) -> None:
    composition.stop(composition.one("predict"))
    promised = [submit(api, renewed(digits[number].read_bytes()))["id"] for number in range(20)]
    ended = {container.name: composition.stop(container)[0] for container in reversed(composition.containers)}
    assert {name: status for name, status in ended.items() if status not in STOPPED} == {}
    first = composition.one("setup").program.said()
    composition.up_again()
    assert composition.one("setup").program.said() == f"{first}The database has the newest schema.\n"
    for id in promised:
        until(lambda id=id: get(api, f"/v1/predictions/{id}")["status"] == "succeeded", seconds=60, what=id)
    assert get(api, "/v1/models/digits")["aliases"]["champion"] == "1"
