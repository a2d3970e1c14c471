"""Running the shadows of all models of a process, a short pass after another, while nobody waits."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import ModelName
from worker.predict.shadowing import Shadowing

SHADOW_PAUSE: Final = timedelta(milliseconds=500)
"""How often a worker checks whether it may run its models' shadows; nothing is checked where none has one."""


def run_shadows(client: redis.Redis, shadows: Mapping[ModelName, Shadowing], *, stopped: Callable[[], bool]) -> None:
    """Run the shadows that predict something until none may go on, of all models that this process serves."""
    wanted = [shadow for shadow in shadows.values() if shadow.intake.target is not None]
    if not wanted:
        return
    memory: Any = client.info("memory")
    for shadow in wanted:
        shadow.intake.note_memory(used=memory["used_memory"], limit=memory.get("maxmemory", 0))
        while not stopped() and shadow.run_pass(shadows):
            pass
