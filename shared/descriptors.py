"""How many files and connections a process may have open: shells and services start with 1,024, whatever is allowed."""

import contextlib
import resource
from typing import Final

ENOUGH: Final = 65_536
"""More than a process of ours can serve; where the system sets no bound at all, asking for more may be refused."""


def allow_connections() -> int:
    """Let this process have as many descriptors open as the system allows it, ENOUGH at most; return how many.

    Each connection takes one, and a server that has none left refuses every new one, whoever holds the others.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system may allow fewer than it says: then it stays as it was
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
