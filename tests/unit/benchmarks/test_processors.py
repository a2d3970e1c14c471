import os

from benchmarks import processors


def test_the_peak_is_of_the_time_since_it_was_forgotten() -> None:
    here = [os.getpid()]
    _allocate()
    processors.forget_peak(here)
    before = processors.resident_megabytes(here)
    assert processors.peak_megabytes(here) - before < 20
    _allocate()
    assert processors.peak_megabytes(here) - before > 60
    assert processors.resident_megabytes(here) - before < 20


def _allocate() -> None:
    """Fill 80 MB and give them back."""
    assert len(b"x" * 80_000_000) == 80_000_000
