"""Batch slots: how many micro-batches this process computes at once, and when an image has the process to itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class BatchSlots:
    """Lets up to `slots` micro-batches run at once, or one suspect with nothing beside it.

    A suspect is an image whose last worker ended without finishing it. Heavy images are decoded beside the
    micro-batches; a suspect waits for those too.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._running = 0
        self._waiting = 0
        self._patient = 0
        self._given = 0
        self._beside = 0
        self._loads = 0
        self._alone = False
        self._alone_wanted = 0
        self._condition = threading.Condition()

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits for a slot."""
        return self._running > 0 or self._waiting > 0

    @contextmanager
    def shared(self, *, after_others: bool = False) -> Iterator[None]:
        """Hold a slot for the block, after waiting for it; suspects that wait go first.

        `after_others`: so does one micro-batch that waits, if one does.
        """
        with self._condition:
            given = self._given
            self._waiting += 1
            self._patient += after_others
            self._condition.wait_for(
                lambda: (
                    self._running < self._slots
                    and not self._alone_wanted
                    and (not after_others or self._given > given or self._waiting == self._patient)
                )
            )
            self._waiting -= 1
            self._patient -= after_others
            self._running += 1
            self._given += 1
        try:
            yield
        finally:
            self._release(1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold every slot for the block, after waiting until nothing runs."""
        with self._condition:
            self._alone_wanted += 1
            self._condition.wait_for(lambda: self._running == 0 and self._beside == 0)
            self._alone_wanted -= 1
            self._running += self._slots
            self._alone = True
        try:
            yield
        finally:
            self._alone = False
            self._release(self._slots)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Hold no slot, but let no suspect run during the block; suspects that wait go first."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone and not self._alone_wanted)
            self._beside += 1
        try:
            yield
        finally:
            with self._condition:
                self._beside -= 1
                self._condition.notify_all()

    @property
    def loads(self) -> int:
        """How many versions are loaded now, each of which keeps suspects waiting."""
        return self._loads

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Load a version in the block, which may take minutes, `beside` what else runs."""
        with self._condition:
            self._loads += 1
        try:
            with self.beside():
                yield
        finally:
            with self._condition:
                self._loads -= 1

    def _release(self, slots: int) -> None:
        with self._condition:
            self._running -= slots
            self._condition.notify_all()
