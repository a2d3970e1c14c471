"""When a process began: with its pid that identifies it, since a pid may be used again."""

from pathlib import Path


def birth_ticks(pid: int) -> int | None:
    """Return the kernel's clock ticks from its boot to a process' start; None where it is gone, or only a zombie.

    Field 22 of proc(5)'s stat, which setting the clock does not change. None, too, where there is no /proc.
    """
    try:
        # As bytes: a process' name, which stands before the last bracket, may have any.
        state, *others = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in b"ZX" else int(others[18])
