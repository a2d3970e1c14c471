import mmap
import os

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


def _allocate() -> None:
    """Fill 80 MB and give them back: the kernel's own pages, since the heap may have as many left over."""
    with mmap.mmap(-1, 80_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
