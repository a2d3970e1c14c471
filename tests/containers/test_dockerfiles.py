"""The two Dockerfiles and .dockerignore."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.composition import REPOSITORY
from tests.containers.dockerfile import Context, Stage, read_stages

DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")
IMAGES = {"Dockerfile.api": ["1"], "Dockerfile.worker": ["services", "registry", "predict"]}


def stages() -> list[Stage]:
    return [stage for name in DOCKERFILES for stage in read_stages(REPOSITORY / name).values()]


def images() -> list[Stage]:
    return [read_stages(REPOSITORY / file)[name] for file, names in IMAGES.items() for name in names]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    answer = subprocess.run((hadolint, *DOCKERFILES), cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_every_image_has_the_same_python_release() -> None:
    names = {stage.name for stage in stages()}
    bases = {stage.base for stage in stages()} - names
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases.pop())


def test_the_last_stage_of_the_worker_image_is_the_predict_role() -> None:
    assert list(read_stages(REPOSITORY / "Dockerfile.worker"))[-1] == "predict"


def test_a_source_change_reinstalls_no_packages() -> None:
    installing = [stage for stage in stages() if any("pip install" in line.text for line in stage.all("RUN"))]
    assert len(installing) == 6
    copied = {source for stage in installing for line in stage.all("COPY") for source in line.text.split()[:-1]}
    assert copied == {"pyproject.toml", "requirements.lock"}
    for stage in images():
        kinds = ["dependencies" if line.flags else "sources" for line in stage.all("COPY")]
        assert kinds == sorted(kinds), stage.name


@pytest.mark.parametrize("stage", [stage for stage in images() if stage.name != "registry"], ids=lambda one: one.name)
def test_an_images_user_reads_sources_that_were_cloned_under_umask_077(stage: Stage) -> None:
    after = [line for line in stage.all("RUN") if "chmod -R a+rX ." in line.text]
    assert len(after) == 1
    last = max(number for number, line in enumerate(stage.instructions) if line.word == "COPY")
    assert stage.instructions.index(after[0]) > last


def test_every_package_is_installed_as_the_lock_says() -> None:
    commands = [
        part for stage in stages() for line in stage.all("RUN") for part in re.findall(r"pip install[^;&]*", line.text)
    ]
    assert len(commands) == 8
    assert [command for command in commands if "--constraint " not in command] == []


def test_no_file_names_a_package_index() -> None:
    for name in (*DOCKERFILES, "docker-compose.yml", "docker-compose.gpu.yml", ".env.example"):
        assert (
            re.findall(
                r"https?://(?!127\.0\.0\.1|localhost:|mlflow:|store:|collector:|\w+\.example)\S+",
                (REPOSITORY / name).read_text(),
            )
            == []
        )


@pytest.mark.parametrize("stage", images(), ids=lambda stage: stage.name)
def test_an_image_runs_one_program_as_an_unprivileged_user(stage: Stage) -> None:
    assert stage.all("CMD")[-1].text.startswith("[")
    assert stage.all("USER")[-1].text == "10001:10001"
    last_root = max(number for number, line in enumerate(stage.instructions) if line.word in ("RUN", "COPY"))
    assert stage.instructions.index(stage.all("USER")[-1]) > last_root


@pytest.mark.parametrize(
    ("path", "is_sent"),
    [
        ("pyproject.toml", True),
        ("requirements.lock", True),
        ("api/main.py", True),
        ("cli/main.py", True),
        ("worker/webhooks/courier.py", True),
        ("shared/queue/scripts/submit.lua", True),
        ("shared/storage/alembic.ini", True),
        ("shared/__pycache__/settings.cpython-311.pyc", False),
        ("api/health/__pycache__/routes.cpython-311.pyc", False),
        (".env", False),
        (".git/config", False),
        (".venv/bin/python", False),
        (".darkroom/redis/appendonly.aof", False),
        ("tests/conftest.py", False),
        ("benchmarks/__main__.py", False),
        ("README.md", False),
        ("docker-compose.yml", False),
        ("darkroom.egg-info/PKG-INFO", False),
    ],
)
def test_the_build_context_has_only_the_files_of_the_images(path: str, *, is_sent: bool) -> None:
    assert Context(REPOSITORY).sends(path) is is_sent
