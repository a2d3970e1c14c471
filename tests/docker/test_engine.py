"""What docker-compose.yml does on a real engine. The tests follow one another on one composition."""

import json
import os
import shutil
import signal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.docker.conftest import Built
from tests.docker.engine import CommandFailed, Engine
from tests.docker.host import Host
from tests.docker.project import OURS, Project, service
from tests.support import waiting

KILLED = 137
"""128 and SIGKILL: the end of what did not stop in its grace."""


until = partial(waiting.until, pause=0.5)


def ids(project: Project) -> dict[str, str]:
    return {one["Name"]: one["Id"] for one in project.containers()}


def killed(project: Project) -> dict[str, int]:
    """Return our containers that did not stop in time."""
    return {
        one["Name"]: one["State"]["ExitCode"]
        for one in project.containers()
        if service(one) in OURS and one["State"]["ExitCode"] == KILLED
    }


def healthy(project: Project) -> dict[str, str]:
    return {service(one): one["State"].get("Health", {}).get("Status", "") for one in project.containers()}


def test_a_clone_under_umask_077_starts_at_the_first_attempt(project: Project) -> None:
    found = healthy(project)
    assert {name for name, health in found.items() if health != "healthy"} == {"setup"}
    [setup] = project.containers("setup")
    assert (setup["State"]["Status"], setup["State"]["ExitCode"]) == ("exited", 0)


def test_each_image_is_built_once(built: Built, project: Project) -> None:
    assert built.nameless == set(), "they lost their names to another build of the same"
    for name in ("api", "services", "registry", "predict"):
        tagged = project.engine.docker("image", "inspect", "--format", "{{.Id}}", f"darkroom-{name}").strip()
        used = {one["Image"] for one in project.containers() if one["Config"]["Image"] == f"darkroom-{name}"}
        assert used == {tagged}, name


def test_a_second_up_changes_nothing(project: Project) -> None:
    assert "ecreate" not in project.compose("up", "--detach", "--dry-run")
    before = ids(project)
    project.compose("up", "--detach", "--wait")
    assert ids(project) == before


def test_scaling_adds_and_removes_containers_and_keeps_the_others(project: Project) -> None:
    before = ids(project)
    project.compose("up", "--detach", "--wait", "--scale", "predict=2")
    after = ids(project)
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()
    project.compose("up", "--detach", "--wait")
    assert ids(project) == before


def test_no_container_has_more_privileges_than_it_needs(project: Project) -> None:
    for one in project.containers():
        name, config = service(one), one["HostConfig"]
        assert one["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert (config["ReadonlyRootfs"], config["CapDrop"], config["Privileged"]) == (True, ["ALL"], False), name
        assert config["SecurityOpt"] == ["no-new-privileges:true"], name
        published = [bound["HostIp"] for bounds in config["PortBindings"].values() for bound in bounds]
        assert set(published) <= {"127.0.0.1"}, name
        if one["State"]["Running"]:
            said = project.compose("exec", name, "cat", "/proc/1/status")
            kernel = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
            assert (int(kernel["CapEff"], 16), kernel["NoNewPrivs"]) == (0, "1"), name
            assert kernel["Uid"].split()[0] != "0", name


def test_no_command_line_contains_a_secret(project: Project) -> None:
    running = [one for one in project.containers() if one["State"]["Running"]]
    told = json.dumps([[one["Path"], one["Args"], one["Config"].get("Healthcheck")] for one in project.containers()])
    seen = [project.engine.docker("top", one["Id"], "-eo", "pid,args") for one in running]
    assert len(project.secrets()) == 7
    for secret in project.secrets():
        assert secret not in told
        assert not [text for text in seen if secret in text]


def test_redis_and_flower_require_the_secrets_of_env(project: Project, host: Host) -> None:
    said = project.compose("exec", "redis", "env", "--unset=REDISCLI_AUTH", "redis-cli", "PING")
    assert "NOAUTH" in said
    login = project.settings()["FLOWER_BASIC_AUTH"]
    assert [host.at("FLOWER_PORT", "/api/workers", login=one)[0] for one in ("", f"{login}x", login)] == [401, 401, 200]


def test_prometheus_scrapes_every_service(host: Host) -> None:
    def targets() -> list[tuple[str, str]]:
        found = host.at("PROMETHEUS_PORT", "/api/v1/targets")[1]["data"]["activeTargets"]
        return sorted((target["labels"]["job"], target["health"]) for target in found)

    jobs = ("api", "flower", "predict", "prometheus", "record", "webhooks")
    until(lambda: targets() == [(job, "up") for job in jobs], seconds=120, what="not every target is up")


def test_bulk_on_the_host_has_every_image_predicted(host: Host, fresh: Path, tmp_path: Path) -> None:
    said = host.run("bulk", str(fresh), "--out", str(tmp_path / "results.csv"), home=tmp_path)
    assert "360 of 360 succeeded" in said
    lines = (tmp_path / "results.csv").read_text().splitlines()[1:]
    right = [line.split(",")[3] == Path(line.split(",")[0]).name[0] for line in lines]
    assert sum(right) > 0.95 * 360


def test_a_webhook_is_delivered_to_the_host(project: Project, host: Host, fresh: Path) -> None:
    came: list[dict[str, Any]] = []
    told = Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            told.set()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    network = json.loads(project.engine.docker("network", "inspect", f"{project.name}_outside"))[0]
    gateway = network["IPAM"]["Config"][0]["Gateway"].split("/")[0]
    server = ThreadingHTTPServer((gateway, 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        image = next(fresh.glob("*.png")).read_bytes()
        path = f"/v1/predictions?webhook=http://{gateway}:{server.server_port}/&webhook_events_filter=completed"
        status, _ = host.ask("POST", path, body=image, Content_Type="image/png", Prefer="wait=30")
        assert status in (200, 201)
        assert told.wait(60)
    finally:
        server.shutdown()
        server.server_close()
    assert came[0]["status"] == "succeeded"


@pytest.mark.parametrize("name", ["predict", "redis", "postgres"])
def test_containers_killed_under_load_restart_and_nothing_is_lost(
    name: str, project: Project, host: Host, fresh: Path, tmp_path: Path
) -> None:
    [container] = project.containers(name)
    if not project.engine.is_ours:
        pytest.skip("the processes of this machine's engine are not ours to kill")
    bulk = host.darkroom("bulk", str(fresh), home=tmp_path)
    # Not `docker kill`: what a person ends the engine does not start again.
    os.kill(container["State"]["Pid"], signal.SIGKILL)
    said, _ = bulk.communicate(timeout=300)
    project.compose("up", "--detach", "--wait")
    if bulk.returncode:
        said = host.run("bulk", str(fresh), "--resume", home=tmp_path)
    assert "360 of 360 succeeded" in said
    assert ids(project)[container["Name"]] == container["Id"], "it was started again, not replaced"


def test_a_stop_under_load_ends_in_time_and_loses_nothing(
    project: Project, host: Host, fresh: Path, tmp_path: Path
) -> None:
    bulk = host.darkroom("bulk", str(fresh), home=tmp_path)
    until(lambda: host.ask("GET", "/v1/batches")[1]["results"], seconds=60, what="no batch")
    project.compose("stop")
    bulk.communicate(timeout=300)
    assert killed(project) == {}
    project.compose("up", "--detach", "--wait")
    assert "360 of 360 succeeded" in host.run("bulk", str(fresh), "--resume", home=tmp_path)


def test_a_stop_after_redis_ends_within_the_grace_periods(project: Project) -> None:
    project.compose("stop", "redis")
    # Each process has noticed, and tries to reconnect.
    for name in ("predict", "record", "webhooks"):
        until(lambda name=name: "ConnectionError" in project.compose("logs", name), seconds=60, what=name)
    project.compose("stop")
    assert killed(project) == {}


def test_down_and_up_again_keeps_all_stored_data(project: Project, host: Host) -> None:
    project.compose("down")
    project.compose("up", "--detach", "--wait")
    status, answer = host.ask("GET", "/v1/predictions?status=succeeded&limit=1")
    assert (status, len(answer["results"])) == (200, 1)
    assert host.ask("GET", "/v1/models/digits")[1]["aliases"]["champion"] == "1"


def test_a_postgres_without_its_databases_is_not_healthy(engine: Engine, built: Built) -> None:
    """A first start that could not read databases.sql; the next one leaves that out, and the server runs."""
    other = Project(engine, engine.folder / "half-made", f"{built.project.name}-half")
    shutil.copytree(built.project.folder, other.folder)
    (other.folder / "deploy/postgres/databases.sql").chmod(0o600)
    try:
        with pytest.raises(CommandFailed):
            other.compose("up", "--detach", "--wait", "--wait-timeout", "45", "postgres")
        said = until(
            lambda: (text := other.compose("logs", "postgres")) and "ready to accept connections" in text and text,
            seconds=60, what="it does not run",
        )  # fmt: skip
        assert "ermission denied" in str(said)
        assert healthy(other) != {"postgres": "healthy"}
    finally:
        other.compose("down", "--volumes", "--timeout", "5")
