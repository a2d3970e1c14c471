"""The composition on a real engine, once a run: built from a clone under umask 077, up and healthy."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers.composition import FILE, filled_in, services
from tests.docker import engine as engines
from tests.docker import foreign
from tests.docker.engine import Engine
from tests.docker.host import Host
from tests.docker.project import Project
from tests.support.pictures import renewed

PYTHON = "python:3.11.15-slim-bookworm"


@pytest.fixture(scope="session")
def usual_temporary_folder() -> Iterator[None]:
    """What runs in another root, as our own engine does, has no folder of this run's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TMPDIR", raising=False)
        yield


@pytest.fixture(scope="session")
def engine(usual_temporary_folder: None) -> Iterator[Engine]:  # noqa: ARG001  for what it does
    """This machine's engine, or one of our own; skips where there can be none. It has its data below /var/tmp."""
    if why_not := engines.lacks():
        pytest.skip(why_not)
    for old in Path("/var/tmp").glob("darkroom-docker-*"):  # noqa: S108  images do not fit into a tmpfs
        if not Path("/proc", old.name.rpartition("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(f"/var/tmp/darkroom-docker-{os.getpid()}")  # noqa: S108
    folder.mkdir(mode=0o711)
    found = engines.get(folder)
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Third-party images, loaded into the engine; returns those that are substitutes."""
    said = services(filled_in(tmp_path_factory.mktemp("env")), FILE).values()
    theirs = {service.image for service in said if service.built is None}
    return foreign.provide(engine, [PYTHON, *sorted(theirs)])


@dataclass(frozen=True)
class Built:
    """The composition, and the ids of images that its build made and that have no name."""

    project: Project
    nameless: set[str]


@pytest.fixture(scope="session")
def built(engine: Engine, images: list[str]) -> Iterator[Built]:
    """Everything built, nothing running; afterwards nothing of it is left."""
    assert images is not None
    project = Project(engine, engine.folder / "clone", f"darkroom-test-{os.getpid()}")
    # A receiver on this machine is at the address that containers have for it.
    project.prepare(DARKROOM_WEBHOOKS_ALLOWED_NETWORKS='["10.0.0.0/8","172.16.0.0/12","192.168.0.0/16"]')
    before = _images(engine)
    project.build()
    try:
        yield Built(project, _images(engine, "dangling=true") - before)
    finally:
        project.compose("down", "--volumes", "--timeout", "5")


def _images(engine: Engine, *filters: str) -> set[str]:
    return set(engine.docker("images", "--quiet", *(word for one in filters for word in ("--filter", one))).split())


@pytest.fixture(scope="session")
def project(built: Built) -> Project:
    """The composition, up for the first time."""
    built.project.compose("up", "--detach", "--wait", seconds=900)
    return built.project


@pytest.fixture(scope="session")
def host(project: Project) -> Host:
    """A user on this machine with a key and the `darkroom` command."""
    said = project.compose("run", "--rm", "setup", "darkroom", "keys", "create", "tests")
    key = next(word for word in said.split() if word.startswith("dk_"))
    project.compose("cp", "setup:/held-out", str(project.folder / "held-out"))
    return Host(project, key)


@pytest.fixture
def fresh(host: Host, tmp_path: Path) -> Path:
    """A folder of 360 images that nobody has ever sent, so none is answered from the cache."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    for image in host.images():
        (folder / image.name).write_bytes(renewed(image.read_bytes()))
    return folder
