"""Images built from the Dockerfiles, and the composition running, once a run: 3 min and half a minute."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import machine, standins
from tests.containers.building import Builder, Image
from tests.containers.composition import FILE, REPOSITORY, Service, filled_in, services
from tests.containers.running import Composition, make_folder


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder with room for 10 GB, deleted after the run; skips where no containers can be made."""
    if why_not := machine.lacks():
        pytest.skip(why_not)
    folder = make_folder()
    yield folder
    shutil.rmtree(folder)


class Images:
    """What the Dockerfiles make, each stage built when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._builders = {
            name: Builder(REPOSITORY / name, folder / "images" / name)
            for name in ("Dockerfile.api", "Dockerfile.worker")
        }

    def get(self, dockerfile: str, target: str = "") -> Image:
        return self._builders[dockerfile].build(target)

    def worker_builder(self, folder: Path, **arguments: str) -> Builder:
        """Return a builder of the worker's images with other build arguments."""
        return self._builders["Dockerfile.worker"].with_arguments(folder, **arguments)

    def of(self, service: Service) -> Image | None:
        """Return what a service runs in; None where this machine has no substitute."""
        if service.built:
            return self.get(*service.built)
        return standins.make(service.image.partition(":")[0], self.folder / "standins" / service.name, uid=service.uid)


@pytest.fixture(scope="session")
def images(workshop: Path) -> Images:
    """The images, built as they are asked for."""
    return Images(workshop)


@pytest.fixture(scope="session")
def composition(workshop: Path, images: Images) -> Iterator[Composition]:
    """Everything of docker-compose.yml, started in its order and healthy."""
    composition = Composition(services(filled_in(workshop), FILE), images.of, workshop)
    try:
        composition.up()
        yield composition
    finally:
        composition.close()
