"""Starts a program that ends with its parent: `python -I -S launcher.py PARENT SIGNAL UID GID NICE PROGRAM ARGUMENT…`.

A file of its own, run as a script, because nothing but `exec` is safe between fork and exec in a process with threads;
it costs 15 ms. Without prctl (macOS) a parent killed with SIGKILL leaves the program running: the next `darkroom up` on
the same home ends it.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
KEEP = -1


def main(parent: int, signal: int, uid: int, gid: int, niceness: int, command: list[str]) -> None:
    """Replace this process by `command` as `uid` and `gid` (KEEP: unchanged); it gets `signal` when `parent` dies."""
    os.nice(niceness)
    if gid != KEEP:
        os.setgroups([])
        os.setgid(gid)
    if uid != KEEP:
        os.setuid(uid)
    # After setuid, which clears it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:  # it died before prctl
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    _parent, _signal, _uid, _gid, _niceness = (int(number) for number in sys.argv[1:6])
    main(_parent, _signal, _uid, _gid, _niceness, sys.argv[6:])
