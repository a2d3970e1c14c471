"""Networks as Docker makes them: a bridge each, an address for each container in each of its networks, and names.

All of it is in namespaces that nothing but this process' children holds: it is gone with them, whatever ends this.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NEW_NETWORK = 0x40000000
# Ends with the process that started it.
_HOLD = "import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0); print(flush=True); signal.pause()"


class Namespace:
    """A network of its own, held by a process that does nothing."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ("unshare", "--net", sys.executable, "-S", "-E", "-c", _HOLD), stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        self.pid = self._holder.pid
        self.file = f"/proc/{self.pid}/ns/net"
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> None:
        """Run `ip` in there."""
        subprocess.run(("nsenter", f"--net={self.file}", "ip", *words), check=True)

    def close(self) -> None:
        """Leave the namespace; the kernel removes it with its last process."""
        self._holder.kill()
        self._holder.communicate()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread in there for a while; what it opens and starts meanwhile is of that network."""
        with Path("/proc/thread-self/ns/net").open() as home, Path(self.file).open() as away:
            _enter(away.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@dataclass(frozen=True)
class Place:
    """Where a container is: its namespace, and its address in each network."""

    service: str
    namespace: Namespace
    addresses: dict[str, str]


class Networks:
    """The bridges, joined in a namespace of their own that hands nothing from one to another; the names' server."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self._switch = Namespace()
        self._table = folder / "names.json"
        self._subnets = {name: f"172.30.{number}" for number, name in enumerate(sorted(names), 1)}
        self._places: list[Place] = []
        self._used = 1
        for number, (name, subnet) in enumerate(self._subnets.items(), 1):
            # Without one of its own it takes the lowest of its ports', another one whenever a port comes, and who has
            # asked for it before sends to nobody.
            self._switch.ip("link", "add", name, "address", f"02:00:00:00:00:{number:02}", "type", "bridge")
            self._switch.ip("address", "add", f"{subnet}.1/24", "dev", name)
            self._switch.ip("link", "set", name, "up")
        self._write_table()
        server = (sys.executable, "-S", "-E", str(Path(__file__).with_name("names.py")), str(self._table))
        self._names = subprocess.Popen(("nsenter", f"--net={self._switch.file}", *server), stdout=subprocess.PIPE)
        assert self._names.stdout is not None
        self._names.stdout.readline()

    def join(self, service: str, names: list[str]) -> Place:
        """Return a new container's place in these networks."""
        self._used += 1
        place = Place(service, Namespace(), {name: f"{self._subnets[name]}.{self._used}" for name in names})
        for name, address in place.addresses.items():
            outer = f"v{self._used}{name[:8]}"
            self._switch.ip(
                "link", "add", outer, "type", "veth", "peer", "name", name, "netns", str(place.namespace.pid)
            )
            self._switch.ip("link", "set", outer, "master", name, "up")
            place.namespace.ip("address", "add", f"{address}/24", "dev", name)
            place.namespace.ip("link", "set", name, "up")
        self._places.append(place)
        self._write_table()
        return place

    def leave(self, place: Place) -> None:
        """Remove a container's place: its names and addresses no longer exist."""
        self._places.remove(place)
        self._write_table()
        place.namespace.close()

    def resolver(self, place: Place) -> str:
        """Return the container's /etc/resolv.conf."""
        first = next(iter(place.addresses))
        return f"nameserver {self._subnets[first]}.1\noptions ndots:0 timeout:1\n"

    def close(self) -> None:
        """End the server and let go of every namespace."""
        self._names.kill()
        self._names.communicate()
        for place in list(self._places):
            self.leave(place)
        self._switch.close()

    def _write_table(self) -> None:
        """Say for each address that may ask what names mean there: the first network that both are in."""
        table = {}
        for asking in self._places:
            meanings: dict[str, list[str]] = {}
            for other in self._places:
                shared = next((name for name in asking.addresses if name in other.addresses), None)
                if shared:
                    meanings.setdefault(other.service, []).append(other.addresses[shared])
            table.update(dict.fromkeys(asking.addresses.values(), meanings))
        draft = self._table.with_suffix(".new")
        draft.write_text(json.dumps(table))
        draft.rename(self._table)
