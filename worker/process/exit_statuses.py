"""Exit statuses of a worker that ends itself at once; whoever runs it starts it again."""

from typing import Final

STUCK_EXIT: Final = 70
"""A micro-batch, or loading a version, has taken too long."""
FORKED_EXIT: Final = 70
"""Of a process that a model forked and that came back as if it were the worker; the worker itself goes on."""
THREAD_DIED_EXIT: Final = 71
"""A vital thread has failed."""
DEVICE_LOST_EXIT: Final = 71
"""The GPU computes nothing for this process any more."""
