"""Base images from this machine: no image registry is used, so its Debian and Python stand in.

`python:…-slim-bookworm` is this machine's /usr and the Python that runs the tests, in a root with nothing else of this
machine in it. It differs in having more programs and libraries than that image; what is installed on top, by which
lines, where, as whom it runs and what it may write to does not differ.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.containers.enclosed import Volume

_OF_ETC: Final = (
    "alternatives", "ca-certificates", "debian_version", "default", "group", "gshadow", "host.conf", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "localtime", "login.defs", "mime.types", "nsswitch.conf", "os-release", "pam.d",
    "passwd", "pip.conf", "protocols", "security", "services", "shadow", "skel", "ssl",
)  # fmt: skip
PATH: Final = "/python/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""With `python` first, as in the image."""
_FOLDERS: Final = ("dev", "home", "mnt", "opt", "proc", "run", "srv", "sys", "usr", "var/lib", "var/log")
_OF_PIP: Final = ("PIP_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def lacks() -> str:
    """Return what this machine lacks for containers, or ''."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "containers need Linux and root"
    if shutil.which("ip") is None:
        return "containers need `ip`: Debian's iproute2"
    tried = subprocess.run(("unshare", "--mount", "--pid", "--net", "--fork", "true"), capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces for us: {tried.stderr.decode().strip()}"


def make_root(root: Path) -> None:
    """Make the root of `python:…-slim-bookworm` as nearly as this machine can; `shown` has its /usr."""
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o711), ("etc", 0o755)):
        (root / name).mkdir()
        (root / name).chmod(mode)
    # Where it was built it finds its library; so it stays there, and users pass through root's home if that is there.
    (root / "python/bin").mkdir(parents=True)
    (root / "python/bin/python").symlink_to(Path(sys.base_prefix, "bin/python3"))
    (root / "var/run").symlink_to("/run")
    for name in _OF_ETC:
        there = Path("/etc", name)
        if there.is_dir():
            shutil.copytree(there, root / "etc" / name, symlinks=True)
        elif there.exists():
            shutil.copy2(there, root / "etc" / name)
    for name in ("hosts", "hostname", "resolv.conf"):
        (root / "etc" / name).touch()  # each container gets its own


def shown() -> list[tuple[str, str]]:
    """Return what of this machine is seen inside, read-only: the system, and the Python that runs this."""
    return [("/usr", "/usr"), *([] if sys.base_prefix == "/usr" else [(sys.base_prefix, sys.base_prefix)])]


def for_builder() -> tuple[list[Volume], dict[str, str]]:
    """Return the files and variables by which this machine's pip knows where packages come from."""
    files = ("/etc/resolv.conf", "/etc/hosts", "/opt", str(Path.home() / ".config/pip"))
    seen = [
        Volume(source=path, target=path.replace(str(Path.home()), "/root", 1), read_only=True)
        for path in files
        if Path(path).exists()
    ]
    return seen, {name: value for name, value in os.environ.items() if name.upper().startswith(_OF_PIP)}
