"""Freed memory stays in the process: the next allocation of the same size costs no page faults."""

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys, threading
from worker.process.allocator import keep_freed_memory

def use(times):
    for _ in range(times):
        block = bytearray(b"x") * (40 * 1024**2)

def measure():
    use(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    use(5)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if sys.argv[1] == "kept":
    assert keep_freed_memory(one_arena=True)
thread = threading.Thread(target=measure)
thread.start()
thread.join()
measure()
"""


def _page_faults(setting: str) -> list[int]:
    """Return the page faults of five blocks of 40 MB, allocated in a thread and in the main thread."""
    run = subprocess.run([sys.executable, "-c", _PROGRAM, setting], check=True, capture_output=True, text=True)
    return [int(line) for line in run.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_memory_that_a_thread_freed_is_used_again_without_page_faults() -> None:
    pages = 5 * 40 * 1024**2 // 4096
    assert all(faults < pages / 100 for faults in _page_faults("kept"))
    assert all(faults > pages / 2 for faults in _page_faults("returned"))
