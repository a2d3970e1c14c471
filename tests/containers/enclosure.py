"""A program in namespaces, as in a container: `enclosure.py SPECIFICATION.json`, run by root.

What Docker does before it executes a command: namespaces for mounts, processes, the host's name and IPC, a root of its
own (read-only where the file says so), volumes and tmpfs on top, no capability, no way to gain one, another user. The
network is another process' (`network` names its namespace). It ends as the program does, and with whoever started it.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_NAME, _NEW_IPC, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXECUTION, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_DIE_WITH_PARENT, _DROP_BOUND, _NO_NEW_PRIVILEGES = 1, 24, 38
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def _call(name: str, *arguments: Any) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    _call("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def main(specification: dict[str, Any]) -> int:
    """Return the program's exit status, 128 and the signal's number where one ended it."""
    _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if network := specification.get("network"):
        with Path(network).open() as namespace:
            _call("setns", namespace.fileno(), _NEW_NETWORK)
    _call("unshare", _NEW_MOUNTS | _NEW_NAME | _NEW_IPC | _NEW_PROCESSES)
    first = os.fork()
    if first == 0:
        _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        try:
            _enclose(specification)
            _execute(specification)
        except BaseException as error:  # noqa: BLE001  a forked child must not go on as its parent
            os.write(2, f"enclosure: {error!r}\n".encode())
        os._exit(127)
    Path(specification["pid_file"]).write_text(f"{first}\n")
    return _status_of(first)


def _status_of(pid: int) -> int:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _enclose(specification: dict[str, Any]) -> None:
    root = Path(specification["root"])
    _call("sethostname", specification["hostname"].encode(), len(specification["hostname"]))
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    _mount(str(root), str(root), None, _BIND | _RECURSIVE)
    for source, target in specification["shown"]:
        _show(Path(source), root / target.lstrip("/"), read_only=True)
    _mount("proc", f"{root}/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION)
    _mount("sysfs", f"{root}/sys", "sysfs", _READ_ONLY)
    _make_devices(root / "dev")
    for volume in specification["volumes"]:
        _show(Path(volume["source"]), root / volume["target"].lstrip("/"), read_only=volume["read_only"])
    for target, options in specification["tmpfs"].items():
        place = _resolved(root, target)
        place.mkdir(parents=True, exist_ok=True)
        _mount("tmpfs", str(place), "tmpfs", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION, options)
    if specification["read_only"]:
        _mount("none", str(root), None, _REMOUNT | _BIND | _READ_ONLY)
    os.chroot(root)


def _resolved(root: Path, target: str) -> Path:
    """Return where a path leads inside the root: /var/run is a link to /run, which must not lead out."""
    place = root
    for part in Path(target).parts[1:]:
        place /= part
        if place.is_symlink():
            place = _resolved(root, str(Path("/") / place.parent.relative_to(root) / place.readlink()))
    return place


def _show(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), str(target), None, _BIND | _RECURSIVE)
    if read_only:
        _mount("none", str(target), None, _REMOUNT | _BIND | _READ_ONLY)


def _make_devices(folder: Path) -> None:
    _mount("tmpfs", str(folder), "tmpfs", _NO_SETUID | _NO_EXECUTION, "mode=755,size=64k")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        _show(Path("/dev") / name, folder / name, read_only=False)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (folder / name).symlink_to(target)
    (folder / "shm").mkdir()
    _mount("tmpfs", str(folder / "shm"), "tmpfs", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION, "mode=1777,size=64m")


def _execute(specification: dict[str, Any]) -> None:
    """Become the program, or the init that starts it and hands signals on."""
    os.chdir(specification["workdir"])
    os.setsid()
    os.umask(0o022)
    if specification["uid"]:
        for capability in range(64):
            _LIBC.prctl(_DROP_BOUND, capability, 0, 0, 0)  # fails beyond the last one that the kernel has
        os.setgroups([])
        os.setresgid(*[specification["gid"]] * 3)
        os.setresuid(*[specification["uid"]] * 3)
        _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)  # another user's process had forgotten it
    if specification["init"]:
        _be_init()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.clear()  # execvpe searches this PATH, not the one it passes on
    os.environ.update(specification["environment"])
    os.execvp(specification["command"][0], specification["command"])  # noqa: S606


def _be_init() -> None:
    """Return in the child alone; in here, pass signals on and reap ended processes until the child ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        return
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
