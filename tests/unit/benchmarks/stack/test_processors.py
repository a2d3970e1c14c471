import mmap
import os
import subprocess
import sys

from benchmarks.stack import processors


def test_the_peak_is_measured_since_its_reset() -> None:
    here = [os.getpid()]
    _allocate()
    processors.forget_peak(here)
    before = processors.resident_megabytes(here)
    assert processors.peak_megabytes(here) - before < 20
    _allocate()
    assert processors.peak_megabytes(here) - before > 60
    assert processors.resident_megabytes(here) - before < 20


def test_the_child_of_a_process_counts_in_its_own_role_alone() -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint()\ninput()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        supervisor, worker = [os.getpid()], [child.pid]
        together = processors.spent({"supervisor": supervisor})["supervisor"]
        apart = processors.spent({"supervisor": supervisor, "worker": worker})
        child.communicate(b"\n")
    assert apart["worker"] >= 0.4
    assert together - apart["supervisor"] >= 0.4


def _allocate() -> None:
    """Fill 80 MB and give them back: the kernel's own pages, since the heap may have as many left over."""
    with mmap.mmap(-1, 80_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
