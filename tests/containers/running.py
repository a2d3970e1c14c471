"""docker-compose.yml, running: each service as the file has it, in an enclosure, started and stopped in its order."""

import http.client
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from tests.containers.building import Image
from tests.containers.composition import Service, in_order
from tests.containers.enclosed import Enclosed, Specification, Volume
from tests.containers.network import Networks, Place

LONGEST_START_SECONDS = 180
_POLL_PAUSE_SECONDS = 0.5


@dataclass
class Container:
    """One replica of a service; `check_seconds` is the CPU time of each health check."""

    service: Service
    image: Image
    place: Place
    program: Enclosed
    check_seconds: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return its host's name."""
        return self.program.specification.hostname

    @property
    def address(self) -> str:
        """Return where its first network reaches it."""
        return next(iter(self.place.addresses.values()))

    def is_healthy(self) -> bool:
        """Run the file's health check as it is written; one that takes longer than it may has failed."""
        kind, *words = self.service.health
        before = _seconds_of_children()
        try:
            answer = self.program.run(
                ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words,
                seconds=self.service.check_seconds("timeout"),
            )
        except subprocess.TimeoutExpired:
            return False
        self.check_seconds.append(_seconds_of_children() - before)
        return answer.returncode == 0

    def ask(
        self,
        method: str,
        path: str,
        *,
        port: int,
        host: str = "127.0.0.1",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send a request as a program in this container would; return the status and the JSON or the bytes."""
        with self.place.namespace.entered():
            connection = http.client.HTTPConnection(host, port, timeout=60)
            connection.request(method, path, body=body or None, headers=dict(headers or {}))
            response = connection.getresponse()
            text = response.read()
            connection.close()
        is_json = (response.headers.get_content_type() or "").endswith("json")
        return response.status, orjson.loads(text) if is_json else text


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Composition:
    """The running services of a file, those whose image this machine can substitute."""

    def __init__(self, services: dict[str, Service], image: Callable[[Service], Image | None], folder: Path) -> None:
        self.images = {name: found for name, service in services.items() if (found := image(service))}
        self.services = {name: service for name, service in services.items() if name in self.images}
        self.containers: list[Container] = []
        self.started: list[str] = []
        self._folder = folder
        self._count = 0
        self._networks = Networks(sorted({name for one in services.values() for name in one.networks}), folder)

    def up(self) -> None:
        """Start every service when those it needs are as it needs them, and return when all are healthy."""
        self._start_in_order(self.add)

    def up_again(self) -> None:
        """Start what has been stopped, in order, each container with its name, address and volumes."""
        self._start_in_order(lambda service: self.again(self.one(service.name)))

    def _start_in_order(self, start: Callable[[Service], Container]) -> None:
        for service in in_order(self.services):
            for needed, condition in service.needs.items():
                self._wait(self.one(needed), condition)
            start(service)
            self.started.append(service.name)
        for container in self.containers:
            if container.service.health:
                self.wait_healthy(container)

    def add(self, service: Service) -> Container:
        """Start one more replica of a service."""
        self._count += 1
        image, name = self.images[service.name], f"{service.name}-{self._count}"
        place = self._networks.join(service.name, service.networks)
        folder = self._folder / "containers" / name
        folder.mkdir(parents=True)
        specification = Specification(
            root=str(image.root),
            command=[
                *(image.entrypoint if service.entrypoint is None else service.entrypoint),
                *_command(service, image),
            ],
            environment=image.environment | service.environment,
            workdir=image.workdir,
            uid=service.uid or image.uid,
            gid=service.gid or image.gid,
            hostname=name,
            shown=image.shown,
            volumes=[*self._volumes(service, image), *self._own_files(name, place, folder)],
            tmpfs=service.tmpfs,
            read_only=bool(service.said.get("read_only")),
            init=bool(service.said.get("init")),
            network=place.namespace.file,
        )
        self.containers.append(Container(service, image, place, Enclosed(specification, folder)))
        return self.containers[-1]

    def again(self, container: Container) -> Container:
        """Start a container that has ended once more: the same name, address and command, its /tmp empty."""
        folder = container.program.log.parent
        container.program = Enclosed(container.program.specification, folder)
        return container

    def remove(self, container: Container) -> tuple[int, float]:
        """Stop a container as the file says and forget it; return the exit status and the seconds it took."""
        ended = self.stop(container)
        self._networks.leave(container.place)
        self.containers.remove(container)
        return ended

    def stop(self, container: Container) -> tuple[int, float]:
        """Stop a container as the file says; return the exit status and the seconds it took."""
        number = signal.Signals[container.service.said.get("stop_signal", container.image.stop_signal)]
        return container.program.stop(number, grace_seconds=container.service.seconds("stop_grace_period"))

    def one(self, service: str) -> Container:
        """Return the first container of a service."""
        return next(container for container in self.containers if container.service.name == service)

    def run(self, service: str, *command: str) -> str:
        """Do what `docker compose run --rm` does; return its output."""
        container = self.add(
            replace(self.services[service], said=self.services[service].said | {"command": [*command]})
        )
        try:
            assert container.program.wait(seconds=60) == 0, container.program.said()
            return container.program.said()
        finally:
            self._networks.leave(container.place)
            self.containers.remove(container)

    def wait_healthy(self, container: Container) -> None:
        """Return when its health check passes; raises AssertionError with its log where it does not in time."""
        self._wait(container, "service_healthy")

    def close(self) -> None:
        """End everything at once."""
        for container in self.containers:
            container.program.kill()
        self._networks.close()

    def _wait(self, container: Container, condition: str) -> None:
        deadline = time.monotonic() + LONGEST_START_SECONDS
        while time.monotonic() < deadline:
            status = container.program.status
            if condition == "service_completed_successfully" and status == 0:
                return
            assert status is None, f"{container.name} ended with {status}:\n{container.program.said()}"
            if condition == "service_healthy" and container.is_healthy():
                return
            time.sleep(_POLL_PAUSE_SECONDS)
        raise AssertionError(f"{container.name} is not {condition}:\n{container.program.said()}")

    def _volumes(self, service: Service, image: Image) -> list[Volume]:
        """Return the service's volumes; a named one begins as its folder in the image, which says whose it is."""
        found = []
        for said in service.said.get("volumes", []):
            source = Path(said["source"])
            if said["type"] == "volume":
                source = self._folder / "volumes" / said["source"]
                if not source.exists():
                    source.mkdir(parents=True)
                    owner = (image.root / said["target"].lstrip("/")).stat()
                    os.chown(source, owner.st_uid, owner.st_gid)
            found.append(Volume(source=str(source), target=said["target"], read_only=bool(said.get("read_only"))))
        return found

    def _own_files(self, name: str, place: Place, folder: Path) -> list[Volume]:
        """Return what Docker puts over three files of every image."""
        texts = {
            "resolv.conf": self._networks.resolver(place),
            "hostname": f"{name}\n",
            "hosts": f"127.0.0.1 localhost\n{next(iter(place.addresses.values()))} {name}\n",
        }
        for file, text in texts.items():
            (folder / file).write_text(text)
        return [Volume(source=str(folder / file), target=f"/etc/{file}", read_only=True) for file in texts]


def _command(service: Service, image: Image) -> list[str]:
    """Return the file's command, else the image's; another entrypoint takes that one away."""
    return service.command or ([] if service.entrypoint is not None else image.command)


def make_folder() -> Path:
    """Return an empty folder on a disk, whose path is short enough for sockets; those of dead processes go first."""
    for old in Path("/var/tmp").glob("darkroom-containers-*"):  # noqa: S108  5 GB are too much for a tmpfs
        if not Path("/proc", old.name.rpartition("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(f"/var/tmp/darkroom-containers-{os.getpid()}")  # noqa: S108
    folder.mkdir(mode=0o711)
    return folder
