import os
import sys
from pathlib import Path

import pytest

from cli.home import command_line
from cli.stack import devices
from cli.stack.plan import Options, called_networks, held_out_folder, plan_stack, usual_gateways
from cli.stack.ports import LOOPBACK, Ports
from cli.stack.servers.mlflow_login import Login
from cli.stack.servers.postgres import _remove_stale_lock
from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.programs import Program
from cli.stack.supervisor.state import StackState
from cli.up.guide import guide
from shared import settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("DARKROOM_", "CUDA_VISIBLE"))]:
        monkeypatch.delenv(name)


def planned(home: Path, *, networks: tuple[str, ...] = (), **options: object) -> dict[str, Program]:
    wanted = {"home": home, "port": 8123, "models": ("digits",)} | options
    with Ports(home / "ports") as ports:
        found = plan_stack(
            Options(**wanted),  # type: ignore[arg-type]
            sockets=Path("/s"), ports=ports, appendfsync="always", networks=networks, intake=settings.Intake(),
        )  # fmt: skip
    return {program.name: program for program in found.programs}


def test_stores_listen_on_sockets_and_loopback_only(tmp_path: Path) -> None:
    programs = planned(tmp_path)
    assert programs["redis"].url == "unix:///s/redis.sock"
    assert programs["redis"].command[1:3] == ("--port", "0")
    assert "listen_addresses=" in programs["postgres"].command
    assert "127.0.0.1" in programs["mlflow"].command


def test_no_command_line_has_the_registrys_password(tmp_path: Path) -> None:
    """Others may read the command lines of a machine's processes. In tests of whole stacks, forks have no own ones."""
    programs = planned(tmp_path)
    login = Login.read(tmp_path)
    assert login is not None
    assert login.password in programs["model"].environment.values()
    assert not [name for name, one in programs.items() if any(login.password in word for word in one.command)]


def test_the_log_of_every_program_that_is_not_in_python_is_cut(tmp_path: Path) -> None:
    programs = planned(tmp_path).values()
    cut = {program.role for program in programs if program.has_log_cut}
    assert cut == {program.role for program in programs if program.command[:1] not in ((), (sys.executable,))}


def test_redis_evicts_nothing_unrecorded_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    command = " ".join(planned(tmp_path)["redis"].command)
    for setting in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy volatile-lru"):
        assert setting in command


def test_a_store_whose_address_is_set_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_REDIS_URL", "redis://theirs")
    programs = planned(tmp_path)
    assert programs["redis"].command == ()
    assert programs["redis"].url == "redis://theirs"
    assert programs["postgres"].command


def test_the_demo_model_is_trained_only_where_it_is_served(tmp_path: Path) -> None:
    assert "model" in planned(tmp_path)
    assert "model" not in planned(tmp_path, models=("other",))
    assert planned(tmp_path, models=("other",))["predict1"].after == ("redis",)


def test_beside_another_registry_the_demo_model_is_trained_only_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", "http://theirs")
    assert "model" not in planned(tmp_path, models=())
    assert "model" in planned(tmp_path, models=("digits",))


def test_on_a_cpu_there_is_a_predict_process_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_PREDICT_DEVICE", "cpu")
    workers = [program for program in planned(tmp_path).values() if program.role == "predict"]
    assert len(workers) == len(os.sched_getaffinity(0))
    assert all("solo" in worker.command for worker in workers)
    assert all(worker.niceness > 0 for worker in workers)


def test_fewer_predict_processes_are_started_where_so_many_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_LOCAL_PREDICT_WORKERS", "1")
    monkeypatch.setenv("DARKROOM_PREDICT_DEVICE", "cpu")
    assert [name for name, program in planned(tmp_path).items() if program.role == "predict"] == ["predict1"]
    monkeypatch.delenv("DARKROOM_PREDICT_DEVICE")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert {"predict1", "predict2"} <= planned(tmp_path).keys(), "a GPU without a worker would lie idle"


def test_on_gpus_there_is_a_process_each_with_two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3,GPU-a")
    workers = [program for program in planned(tmp_path).values() if program.role == "predict"]
    assert [worker.environment["CUDA_VISIBLE_DEVICES"] for worker in workers] == ["0", "3", "GPU-a"]
    assert all("threads" in worker.command for worker in workers)
    assert all(worker.niceness == 0 for worker in workers)


def test_gpus_are_counted_without_their_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: a)'\necho '  MIG 1g.10gb Device 0: (UUID: m)'\necho 'GPU 1: B'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert devices.gpus() == ["0", "1"]
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert devices.gpus() == []


def test_every_program_waits_for_programs_that_are_there(tmp_path: Path) -> None:
    programs = planned(tmp_path)
    assert all(name in programs for program in programs.values() for name in program.after)


def test_workers_stop_before_the_api_and_stores_last(tmp_path: Path) -> None:
    rank = {name: program.stop_rank for name, program in planned(tmp_path).items()}
    assert rank["predict1"] < rank["api"] == rank["record"] == rank["webhooks"] < rank["postgres"] < rank["redis"]
    assert rank["flower"] < rank["redis"]


def test_webhooks_have_a_worker_of_their_own_at_lower_priority(tmp_path: Path) -> None:
    worker = planned(tmp_path, networks=("127.0.0.0/8",))["webhooks"]
    command = " ".join(worker.command)
    assert "--queues webhooks --pool solo" in command
    assert set(worker.after) == {"redis", "migrations"}
    assert worker.niceness > 0
    # Read as the worker reads it.
    assert worker.environment["DARKROOM_WEBHOOKS_ALLOWED_NETWORKS"] == '["127.0.0.0/8"]'
    others = [program for program in planned(tmp_path).values() if program.name != "webhooks"]
    assert not any("DARKROOM_WEBHOOKS_ALLOWED_NETWORKS" in program.environment for program in others)


@pytest.mark.parametrize(
    ("given", "networks", "says"),
    [
        (None, ["127.0.0.0/8"], "this machine (127.0.0.0/8); elsewhere only public addresses are called."),
        ("[]", [], "public addresses only."),
        (
            '["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"]',
            ["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"],
            "10.0.0.0/8, this machine (127.0.0.0/8), fd00::/8; elsewhere only public addresses are called.",
        ),
    ],
)
def test_webhooks_may_call_this_machine_unless_networks_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, networks: list[str], says: str
) -> None:
    if given is not None:
        monkeypatch.setenv("DARKROOM_WEBHOOKS_ALLOWED_NETWORKS", given)
    called = called_networks(settings.read(settings.Webhooks))
    assert called == networks
    running = StackState(ProcessIdentity(1, 1), "http://127.0.0.1:1", [], {}, "", networks=called)
    assert f"Webhooks may call {says}" in guide(running, tmp_path).splitlines()


def test_where_keys_are_required_the_guide_says_how_to_create_one(tmp_path: Path) -> None:
    held_out_folder(tmp_path).mkdir(parents=True)
    (held_out_folder(tmp_path) / "7-0001.png").touch()
    running = StackState(ProcessIdentity(1, 1), "http://127.0.0.1:1", ["digits"], {}, "", keys_required=True)
    said = guide(running, tmp_path)
    assert f"The API asks for a key. Make one: {command_line('keys create NAME', tmp_path)}" in said
    assert '-H "Authorization: Bearer $DARKROOM_API_KEY"' in said


def test_every_worker_and_the_gateway_serve_metrics_each_on_a_port_of_its_own(tmp_path: Path) -> None:
    programs = planned(tmp_path)
    found = [program for program in programs.values() if program.role in ("api", "predict", "record", "webhooks")]
    assert len({program.environment["DARKROOM_METRICS_PORT"] for program in found}) == len(found)
    for program in found:
        host, port = program.environment["DARKROOM_METRICS_HOST"], program.environment["DARKROOM_METRICS_PORT"]
        assert program.metrics_url == f"http://{host}:{port}/metrics"
        assert host == LOOPBACK
    assert [program for program in programs.values() if program.metrics_url] == found
    assert [program.metrics_url for program in found] == [
        planned(tmp_path)[program.name].metrics_url for program in found
    ]


def test_flower_listens_on_loopback_starts_after_the_workers_and_has_lower_priority(tmp_path: Path) -> None:
    programs = planned(tmp_path)
    flower = programs["flower"]
    assert flower.url in [f"http://127.0.0.1:{part.removeprefix('--port=')}" for part in flower.command]
    assert "--address=127.0.0.1" in flower.command
    assert {"record", "webhooks", "predict1"} <= set(flower.after)
    assert flower.niceness > 0


def test_flowers_settings_can_be_set_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = planned(tmp_path)["flower"].environment
    assert int(usual["FLOWER_MAX_TASKS"]) < 100_000
    assert "result" in usual["FLOWER_TASKS_COLUMNS"].split(",")
    said = {"FLOWER_MAX_TASKS": "7", "FLOWER_TASKS_COLUMNS": "name"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert planned(tmp_path)["flower"].environment == said


@pytest.mark.parametrize("said", [None, "", "-", "/elsewhere"])
def test_predictions_are_logged_beside_the_logs_unless_a_file_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    if said is not None:
        monkeypatch.setenv("DARKROOM_LOG_PREDICTIONS", said)
    expected = f"{tmp_path}/logs/predictions.ndjson" if said is None else said
    assert planned(tmp_path)["record"].environment["DARKROOM_LOG_PREDICTIONS"] == expected


def test_a_gateway_alone_does_not_share_its_port(tmp_path: Path) -> None:
    programs = planned(tmp_path)
    assert [name for name, program in programs.items() if program.role == "api"] == ["api"]
    assert "DARKROOM_SERVER_SHARE_PORT" not in programs["api"].environment
    assert "DARKROOM_INTAKE_MAX_BYTES_IN_HAND" not in programs["api"].environment


def test_several_gateways_share_a_port_and_the_memory_for_bodies(tmp_path: Path) -> None:
    programs = planned(tmp_path, gateways=3)
    gateways = [programs[f"api{number}"] for number in (1, 2, 3)]
    assert {program.role for program in gateways} == {"api"}
    assert {program.environment["DARKROOM_SERVER_PORT"] for program in gateways} == {"8123"}
    assert len({program.metrics_url for program in gateways}) == 3
    assert {program.environment["DARKROOM_SERVER_SHARE_PORT"] for program in gateways} == {"true"}
    share = int(gateways[0].environment["DARKROOM_INTAKE_MAX_BYTES_IN_HAND"])
    assert 0 <= 3 * share - settings.Intake().max_bytes_in_hand < 3


@pytest.mark.parametrize(
    ("cores", "platform", "count"),
    [(1, "linux", 1), (7, "linux", 1), (8, "linux", 2), (64, "linux", 4), (64, "darwin", 1)],
)
def test_there_is_a_gateway_for_four_cores_where_they_can_share_a_port(
    monkeypatch: pytest.MonkeyPatch, cores: int, platform: str, count: int
) -> None:
    monkeypatch.setattr(devices, "cores", lambda: cores)
    monkeypatch.setattr("sys.platform", platform)
    assert usual_gateways() == count
    monkeypatch.setenv("DARKROOM_LOCAL_GATEWAYS", "3")
    assert usual_gateways() == 3


def test_options_are_read_back_by_the_supervisor(tmp_path: Path) -> None:
    options = Options(home=tmp_path, port=1, models=("a", "b"), gateways=2)
    assert Options.from_json(options.to_json()) == options


def test_a_lock_of_a_postgres_that_is_gone_is_removed(tmp_path: Path) -> None:
    lock = tmp_path / "postmaster.pid"
    # This process's own pid: alive, and not a Postgres.
    for content in (f"{os.getpid()}\n/data\n", "4194304\n", "", "no number"):
        lock.write_text(content)
        _remove_stale_lock(tmp_path)
        assert not lock.exists()


def test_gateways_link_to_the_pages_that_are_started_unless_others_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = planned(tmp_path)
    environment = programs["api"].environment
    assert environment["DARKROOM_LINKS_MLFLOW"] == programs["mlflow"].url
    assert environment["DARKROOM_LINKS_FLOWER"] == programs["flower"].url
    monkeypatch.setenv("DARKROOM_LINKS_FLOWER", "https://flower.example.com")
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", "sqlite:////registry.db")
    environment = planned(tmp_path)["api"].environment
    assert not environment.keys() & {"DARKROOM_LINKS_MLFLOW", "DARKROOM_LINKS_FLOWER"}
