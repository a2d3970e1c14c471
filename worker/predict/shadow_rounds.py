"""Running the shadows of all models of a process, a short pass after another, while nobody waits."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import ModelName
from worker.predict.shadowing import Shadowing

SHADOW_PAUSE: Final = timedelta(milliseconds=500)
"""How often a worker checks whether it may run its models' shadows; nothing is checked where none has one."""


class ShadowRounds:
    """Runs a process' shadows; called from one thread.

    A shadow that is turned off still predicts the images that were kept for it. Where its version is unloaded by then,
    they are counted as skipped.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._unfinished: set[ModelName] = set()
        """Models whose shadow predicts something, or did, and may have images left."""

    def run(self, shadows: Mapping[ModelName, Shadowing], *, stopped: Callable[[], bool]) -> None:
        """Run the shadows of the models that this process serves until none may go on."""
        self._unfinished.update(model for model, shadow in shadows.items() if shadow.intake.target is not None)
        self._unfinished.intersection_update(shadows)
        if not self._unfinished:
            return
        memory: Any = self._client.info("memory")
        for model in sorted(self._unfinished):
            shadow = shadows[model]
            shadow.intake.note_memory(used=memory["used_memory"], limit=memory.get("maxmemory", 0))
            while not stopped() and shadow.run_pass(shadows):
                pass
            if shadow.intake.target is None and not shadow.has_images():
                self._unfinished.discard(model)
