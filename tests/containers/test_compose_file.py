"""docker-compose.yml: the configuration of each service that Docker would get.

Over 300 lines: every test is about the one file.
"""

import re
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from cli.stack import roles
from cli.stack.servers.redis import redis_program
from shared import settings
from shared.queue import keys
from shared.settings import KeepImages
from tests.containers.composition import (
    EXAMPLE,
    FILE,
    GPU_FILE,
    REPOSITORY,
    Service,
    blanks,
    config,
    filled_in,
    services,
)
from tests.containers.dockerfile import read_stages

PUBLISHED = {"api", "flower", "grafana", "mlflow", "prometheus"}
STORES = {"redis", "postgres", "store"}
ENDS = {"setup"}
"""Jobs: others wait for their end, so they have no health and are not started again."""


@pytest.fixture
def said(tmp_path: Path) -> list[Service]:
    return list(services(filled_in(tmp_path), FILE).values())


@pytest.fixture
def by_name(said: list[Service]) -> dict[str, Service]:
    return {service.name: service for service in said}


@pytest.mark.parametrize("files", [(FILE,), (FILE, GPU_FILE)], ids=["alone", "with a GPU"])
def test_compose_accepts_it(files: tuple[Path, ...], tmp_path: Path) -> None:
    answer = config(filled_in(tmp_path), *files)
    assert (bool(answer.stdout), answer.stderr) == (True, "")


@pytest.mark.parametrize("name", blanks())
def test_nothing_starts_without_a_secret(name: str, tmp_path: Path) -> None:
    answer = config(filled_in(tmp_path, without=name), FILE)
    assert answer.stdout == ""
    assert re.search(rf"required variable {name} is missing a value: run `make env`", answer.stderr)


def test_the_example_env_alone_starts_nothing() -> None:
    assert config(EXAMPLE, FILE).stdout == ""


def test_make_env_fills_every_blank_with_a_secret_and_keeps_existing_ones(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE.read_text())
    made = []
    for _ in range(2):
        subprocess.run(("make", "--file", str(REPOSITORY / "Makefile"), "env"), cwd=tmp_path, check=True, timeout=60)
        made.append((tmp_path / ".env").read_text())
    values = dict(re.findall(r"^(\w+)=(.+)$", made[0], re.MULTILINE))
    assert made[0] == made[1]
    assert set(blanks()) <= set(values)
    assert len({values[name] for name in blanks()}) == len(blanks())
    assert min(len(values[name]) for name in blanks()) >= 32
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert config(tmp_path / ".env", FILE).stdout


def test_make_env_lets_containers_read_a_clone_made_under_umask_077(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE.read_text())
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy")
    shown = [tmp_path / "deploy", *(tmp_path / "deploy").rglob("*")]
    for path in shown:
        path.chmod(0o700 if path.is_dir() else 0o600)
    for _ in range(2):
        subprocess.run(("make", "--file", str(REPOSITORY / "Makefile"), "env"), cwd=tmp_path, check=True, timeout=60)
    assert {path.is_dir(): oct(stat.S_IMODE(path.stat().st_mode)) for path in shown} == {True: "0o755", False: "0o644"}
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_git_never_sees_the_secrets() -> None:
    assert subprocess.run(("git", "check-ignore", "--quiet", ".env"), cwd=REPOSITORY, check=False).returncode == 0


def test_every_secret_comes_from_the_environment(said: list[Service], tmp_path: Path) -> None:
    given = {line.partition("=")[2] for line in filled_in(tmp_path).read_text().splitlines()}
    told = [
        (service.name, name, value)
        for service in said
        for name, value in service.environment.items()
        if value and (re.search("PASSWORD|SECRET|_AUTH", name) or re.search(r"://[^/]*:[^/]*@", value))
    ]
    assert len(told) >= len(blanks())
    assert [one for one in told if not any(secret in one[2] for secret in given)] == []


def test_predict_upkeep_and_setup_keep_pictures_in_the_same_place(tmp_path: Path) -> None:
    given = {
        "DARKROOM_KEEP_IMAGES_URL": "/pictures/kept",
        "DARKROOM_KEEP_IMAGES_WHICH": "5%",
        "DARKROOM_KEEP_IMAGES_ENDPOINT": "http://store:1",
        "KEEP_IMAGES_ACCESS_KEY": "k0",
    }
    found = services(filled_in(tmp_path, **given), FILE)
    names = [name for name in found["predict"].environment if "KEEP_IMAGES" in name or name.startswith("AWS_")]
    fields = {f"DARKROOM_KEEP_IMAGES_{field.upper()}" for field in KeepImages.model_fields if field != "waiting_bytes"}
    assert fields <= set(names)
    for name in ("predict", "record", "setup"):
        environment = found[name].environment
        assert {key: environment[key] for key in names} == {key: found["predict"].environment[key] for key in names}
        assert environment["DARKROOM_KEEP_IMAGES_WHICH"] == "5%"
        assert environment["AWS_ACCESS_KEY_ID"] == "k0"
        assert "/pictures" in [volume["target"] for volume in found[name].said["volumes"]]


def test_env_turns_on_the_traces_of_every_process_that_makes_spans(tmp_path: Path) -> None:
    given = {"DARKROOM_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    tracing = re.compile("DARKROOM_TRACING_|OTEL_")
    seen = {}
    for more in ({}, given):
        found = services(filled_in(tmp_path, **more), FILE)
        for name, service in found.items():
            here = {key: value for key, value in service.environment.items() if tracing.match(key)}
            seen.setdefault(name, []).append(here)
    off, on = seen["api"]
    traced = {name: said for name, said in seen.items() if any(said)}
    assert traced == {name: [off, on] for name in ("api", "predict", "record", "webhooks")}
    assert (off["DARKROOM_TRACING_ENABLED"], on["DARKROOM_TRACING_ENABLED"]) == ("", "true")
    assert on["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"


def test_every_service_has_a_memory_limit(said: list[Service]) -> None:
    assert [service.name for service in said if int(service.said.get("mem_limit", 0)) <= 0] == []


def test_every_service_writes_only_to_tmp_and_its_volumes(said: list[Service]) -> None:
    assert [service.name for service in said if not service.said.get("read_only") or "/tmp" not in service.tmpfs] == []  # noqa: S108


def test_no_service_can_gain_privileges(said: list[Service]) -> None:
    for service in said:
        assert service.said["cap_drop"] == ["ALL"], service.name
        assert service.said["security_opt"] == ["no-new-privileges:true"], service.name
        more = {"cap_add", "privileged", "pid", "ipc", "network_mode", "devices", "userns_mode"} & set(service.said)
        assert more == set(), service.name
        assert "docker.sock" not in str(service.said.get("volumes")), service.name


def test_no_service_runs_as_root(said: list[Service]) -> None:
    for service in said:
        if service.built:
            dockerfile, target = service.built
            stages = read_stages(REPOSITORY / dockerfile)
            user = stages[target or list(stages)[-1]].all("USER")[-1].text
        else:
            user = service.said["user"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), service.name


def test_every_service_has_a_health_check_or_ends(said: list[Service]) -> None:
    assert {service.name for service in said if not service.health} == ENDS


def test_every_service_but_one_off_jobs_restarts_after_a_crash(said: list[Service]) -> None:
    assert {service.name: service.said["restart"] for service in said} == {
        service.name: "no" if service.name in ENDS else "unless-stopped" for service in said
    }


def test_no_log_fills_the_disk(said: list[Service]) -> None:
    assert [
        service.name for service in said if not {"max-size", "max-file"} <= set(service.said["logging"]["options"])
    ] == []


def test_third_party_images_are_pinned_to_a_release(said: list[Service]) -> None:
    theirs = [service.image for service in said if not service.built]
    assert [image for image in theirs if not re.search(r":v?\d+\.\d+(\.\d+)?(-bookworm)?$", image)] == []


def test_each_image_is_built_by_one_service_and_reused_by_others(said: list[Service]) -> None:
    # Built twice, one of the two loses its name, and every `up` replaces the containers that run it.
    ours = {service.image for service in said if service.built}
    assert {image: [s.name for s in said if s.builds and s.image == image] for image in ours} == {
        "darkroom-api": ["api"],
        "darkroom-services": ["record"],
        "darkroom-predict": ["setup"],
        "darkroom-registry": ["mlflow"],
    }
    without = [service for service in said if service.built and not service.builds]
    assert {service.name: service.said.get("pull_policy") for service in without} == {
        "predict": "never", "webhooks": "never", "beat": "never", "flower": "never",
    }  # fmt: skip


def test_ports_are_published_only_on_loopback(said: list[Service]) -> None:
    ports = {service.name: service.said["ports"] for service in said if service.said.get("ports")}
    assert set(ports) == PUBLISHED
    assert {port["host_ip"] for published in ports.values() for port in published} == {"127.0.0.1"}


def test_only_the_api_can_be_published_elsewhere(tmp_path: Path) -> None:
    found = services(filled_in(tmp_path, DARKROOM_BIND="192.0.2.1", DARKROOM_PORT="80"), FILE).values()
    moved = {s.name: p["host_ip"] for s in found for p in s.said.get("ports", []) if p["host_ip"] != "127.0.0.1"}
    assert moved == {"api": "192.0.2.1"}


def test_stores_cannot_reach_out_and_only_mlflow_reaches_models(by_name: dict[str, Service], tmp_path: Path) -> None:
    text = config(filled_in(tmp_path), FILE).stdout
    internal = set(re.findall(r'"name": "darkroom_(\w+)",\s*"ipam": \{\},\s*"internal": true', text))
    assert {network for store in STORES for network in by_name[store].networks} <= internal
    neighbours = {name for name, one in by_name.items() if set(one.networks) & set(by_name["store"].networks)}
    assert neighbours == {"store", "mlflow"}


def test_services_that_need_no_outside_network_have_none(by_name: dict[str, Service]) -> None:
    assert {name for name, one in by_name.items() if "outside" in one.networks} == PUBLISHED | {"webhooks"}


@pytest.mark.parametrize("name", ["predict", "record", "webhooks"])
def test_workers_can_be_scaled(name: str, by_name: dict[str, Service]) -> None:
    assert not {"container_name", "ports", "hostname"} & set(by_name[name].said)


def test_every_queue_has_a_worker(by_name: dict[str, Service]) -> None:
    served = {
        queue
        for service in by_name.values()
        for word in service.command
        if word.startswith("--queues=")
        for queue in word.removeprefix("--queues=").split(",")
    }
    assert served == {
        keys.RECORD_QUEUE, keys.UPKEEP_QUEUE, keys.WEBHOOK_QUEUE, keys.PREDICT_QUEUE,
    }  # fmt: skip


def test_grafana_asks_for_a_login(by_name: dict[str, Service]) -> None:
    said = by_name["grafana"].environment
    # By default nobody is let in without a login.
    assert not [name for name in said if "ANONYMOUS" in name]
    assert said["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert said["GF_SECURITY_ADMIN_PASSWORD"]


def test_predict_serves_the_models_that_env_names(tmp_path: Path) -> None:
    found = services(filled_in(tmp_path, PREDICT_QUEUES="predict.cats,predict.dogs"), FILE, GPU_FILE)
    assert "--queues=predict.cats,predict.dogs" in found["predict"].command


def test_commands_are_executed_without_a_shell(said: list[Service]) -> None:
    shells = {service.name: service.command[2] for service in said if service.command[:1] == ["sh"]}
    assert set(shells) == {"setup", "redis"}
    assert all("&& exec " in words for words in shells.values())


def test_no_command_line_or_health_check_contains_a_secret(tmp_path: Path) -> None:
    env = filled_in(tmp_path)
    secrets = [line.partition("=")[2].rpartition(":")[2] for line in env.read_text().splitlines()]
    lines = {one.name: [*one.command, *one.health, *(one.entrypoint or [])] for one in services(env, FILE).values()}
    assert len(secrets) == len(blanks())
    assert [name for name, words in lines.items() if any(secret in " ".join(words) for secret in secrets)] == []


def test_stopping_waits_for_work_in_hand(by_name: dict[str, Service]) -> None:
    def grace(name: str) -> timedelta:
        return timedelta(seconds=by_name[name].seconds("stop_grace_period"))

    assert grace("predict") > settings.Predict().timeout
    assert grace("webhooks") > settings.Webhooks().timeout
    assert grace("api") > settings.Server().stop_timeout


def test_redis_runs_as_up_runs_it(by_name: dict[str, Service], tmp_path: Path) -> None:
    def options(command: tuple[str, ...] | list[str]) -> dict[str, str]:
        return dict(zip(command[1::2], command[2::2], strict=True))

    here = options(redis_program(folder=tmp_path, sockets=tmp_path, appendfsync="always").command)
    # Behind the shell that writes the password down, and its script.
    there = options(by_name["redis"].command[3:])
    own = {"--port", "--unixsocket", "--unixsocketperm", "--dir", "--maxmemory", "--io-threads"}
    assert {name: there.get(name) for name in here if name not in own} == {
        name: value for name, value in here.items() if name not in own
    }
    assert "requirepass" in by_name["redis"].command[2]
    assert by_name["redis"].environment["REDISCLI_AUTH"]


def test_flower_shows_the_same_as_under_darkroom_up(by_name: dict[str, Service]) -> None:
    usual = roles.flower(1, after=()).environment
    assert {name: by_name["flower"].environment.get(name) for name in usual} == usual


def test_a_gpu_is_reserved_and_has_four_threads(tmp_path: Path) -> None:
    found = services(filled_in(tmp_path), FILE, GPU_FILE)
    with_gpu = {name for name, service in found.items() if "devices" in str(service.said.get("deploy"))}
    assert with_gpu == {"predict"}
    assert {"--pool=threads", "--concurrency=4"} <= set(found["predict"].command)
    assert found["predict"].environment["DARKROOM_PREDICT_DEVICE"] == "cuda"


def test_a_cpu_build_is_chosen_in_env(tmp_path: Path) -> None:
    found = services(filled_in(tmp_path, DARKROOM_DEVICE="cpu", TORCH_INDEX_URL="https://index.example/cpu"), FILE)
    assert found["setup"].said["build"]["args"] == {"DEVICE": "cpu", "TORCH_INDEX_URL": "https://index.example/cpu"}
    assert found["predict"].image == found["setup"].image


def test_every_setting_of_the_example_exists() -> None:
    offered = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    read = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text() + GPU_FILE.read_text()))
    assert offered == read
