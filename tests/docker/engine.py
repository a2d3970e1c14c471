"""A Docker engine to run docker-compose.yml on: this machine's, or one of our own, made from Debian's packages.

Our own needs root on Linux and `debootstrap`. Its daemon lives in a root and a mount namespace of its own, with its own
data, socket and bridge; it shares this machine's network. `close` ends it by its process id and deletes everything.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.docker.firewall import Firewall

OLDEST_ENGINE: Final = 25
"""`start_interval` of a health check came with Engine 25."""
_SUITE: Final = "trixie"
_PACKAGES: Final = (
    "ca-certificates",
    "docker.io",
    "docker-cli",
    "docker-compose",
    "docker-buildx",
    "iptables",
    "procps",
)
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 60

# A chroot is not enough: `docker load` and `docker import` pivot into a folder themselves, which needs a real root.
_ENCLOSE: Final = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mkdir -p "$1$2" "$1/old"
mount --bind "$2" "$1$2"
cd "$1"
pivot_root . old
umount -l /old
shift 2
exec "$@"
"""


class CommandFailed(Exception):
    """A command of Docker's ended with another status than 0; `said` is its output."""

    def __init__(self, command: Sequence[str], status: int, said: str) -> None:
        self.said = said
        super().__init__(f"`{' '.join(command)}` ended with {status}:\n{said}")


@dataclass
class Engine:
    """Where `docker …` goes. `folder` is seen by client and daemon under the same path."""

    folder: Path
    is_ours: bool
    prefix: tuple[str, ...] = ()
    """What is put before each command, so that it finds the client and the daemon."""
    environment: dict[str, str] = field(default_factory=dict)
    daemon: "Daemon | None" = None

    def docker(
        self, *words: str, at: Path | None = None, variables: Mapping[str, str] | None = None, seconds: float = 600
    ) -> str:
        """Run a command of Docker's in a folder; return what it wrote, both streams. Raises CommandFailed."""
        answer = subprocess.run(
            (*self.prefix, "env", f"--chdir={at or self.folder}", "docker", *words),
            env=self.environment | dict(variables or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        if answer.returncode != 0:
            raise CommandFailed(("docker", *words), answer.returncode, answer.stdout)
        return answer.stdout

    def close(self) -> None:
        """End our own daemon, if it is ours, and delete its data."""
        if self.daemon is not None:
            self.daemon.close()


@dataclass
class Daemon:
    """Our own dockerd: the process, and what it leaves in this machine's network."""

    process: "subprocess.Popen[bytes]"
    bridge: str
    firewall: Firewall
    root: Path

    def close(self) -> None:
        """End it and take back what it did to the network. Its mounts end with its mount namespace."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(("ip", "link", "delete", self.bridge), check=False, capture_output=True)
        self.firewall.put_back()


def lacks() -> str:
    """Return why there can be no engine on this machine, or ''."""
    if _machines_engine():
        return ""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "no Docker engine of 25 or newer with Compose runs here, and to start one needs Linux and root"
    missing = [program for program in ("debootstrap", "ip", "nsenter", "unshare") if shutil.which(program) is None]
    if missing:
        return f"no Docker engine of 25 or newer with Compose runs here, and to start one needs {', '.join(missing)}"
    return ""


def get(folder: Path) -> Engine:
    """Return this machine's engine where it has one that is new enough, else start one in `folder`."""
    if _machines_engine():
        return Engine(folder, is_ours=False, environment=dict(os.environ))
    return _start(folder)


def _machines_engine() -> bool:
    """Tell whether this machine runs an engine that the file may be used with, and has Compose v2."""
    if shutil.which("docker") is None:
        return False
    answer = subprocess.run(
        ("docker", "version", "--format", "{{.Server.Version}}"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    major = re.match(r"\d+", answer.stdout)
    if answer.returncode != 0 or major is None or int(major[0]) < OLDEST_ENGINE:
        return False
    compose = subprocess.run(("docker", "compose", "version"), capture_output=True, check=False, timeout=30)
    return compose.returncode == 0


def _start(folder: Path) -> Engine:
    root = folder / "engine"
    make_debian(root, suite=_SUITE, packages=_PACKAGES)
    # For `docker pull`: what this machine trusts, and where it asks for names.
    for file in ("/etc/ssl/certs/ca-certificates.crt", "/etc/resolv.conf", "/etc/hosts"):
        if Path(file).exists():
            shutil.copy(file, root / file.lstrip("/"))
    number = os.getpid() % 65536
    bridge, socket = f"darkroom{number:x}", folder / "docker.sock"
    # Another run beside this one has other addresses.
    addresses = f"10.{200 + number % 50}"
    firewall = Firewall.seen_from(root, addresses=addresses)
    subprocess.run(("ip", "link", "add", bridge, "type", "bridge"), check=True)
    subprocess.run(("ip", "address", "add", f"{addresses}.255.1/24", "dev", bridge), check=True)
    subprocess.run(("ip", "link", "set", bridge, "up"), check=True)
    command = (
        "dockerd", "--host", f"unix://{socket}", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
        "--pidfile", f"{folder}/docker.pid", "--bridge", bridge,
        "--default-address-pool", f"base={addresses}.0.0/16,size=24", "--storage-driver", "overlay2",
    )  # fmt: skip
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            ("unshare", "--mount", "--propagation", "private", "sh", "-c", _ENCLOSE, "enclose", str(root), str(folder),
             *command),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    daemon = Daemon(process, bridge, firewall, root)
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "DOCKER_HOST": f"unix://{socket}",
        "DOCKER_CONFIG": str(folder / "client"),
    }
    engine = Engine(
        folder, is_ours=True, prefix=("nsenter", "--target", str(process.pid), "--mount"), environment=environment,
        daemon=daemon,
    )  # fmt: skip
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            engine.docker("info", seconds=30)
        except CommandFailed as failed:
            if process.poll() is not None or time.monotonic() > end:
                daemon.close()
                raise RuntimeError(f"{failed}\n{(folder / 'dockerd.log').read_text()[-5000:]}") from failed
            time.sleep(0.5)
        else:
            return engine


def make_debian(root: Path, *, suite: str, packages: Sequence[str] = ()) -> None:
    """Make the root of a small Debian with these packages in it; none of them starts anything."""
    subprocess.run(
        ("debootstrap", "--variant=minbase", suite, str(root)),
        check=True, stdout=subprocess.DEVNULL, timeout=900,
    )  # fmt: skip
    if not packages:
        return
    never = root / "usr/sbin/policy-rc.d"
    never.write_text("#!/bin/sh\nexit 101\n")
    never.chmod(0o755)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    install = ("apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", *packages)
    for command in (("apt-get", "update", "--quiet=2"), install, ("apt-get", "clean")):
        subprocess.run(
            ("chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", *command),
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=900,
        )  # fmt: skip
