"""The turn in which a command changes what serves of a model: workers, canaries and other commands wait meanwhile."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import redis

from cli.addresses import store_url
from cli.models.long_wait import LongWait
from cli.stack.supervisor import state
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName
from shared.domain.registry_change import Registry
from shared.queue.connection.clients import connect_briefly
from shared.queue.model_turns import LONGEST, ModelTurns, Turn, TurnLost, WriterInTurn
from shared.settings import Redis

PATIENCE: Final = LONGEST + timedelta(seconds=5)
"""How long a command waits for its turn: a killed holder's is over by then."""
_TOLD_AFTER: Final = timedelta(seconds=1)
_PAUSE: Final = 0.1
_SETTING: Final = "DARKROOM_REDIS_URL"


class _CommandsTurn:
    """A turn that a Redis which has gone does not end: whoever else would change the model needs Redis too."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def check(self) -> None:
        with contextlib.suppress(redis.RedisError):
            self._turn.check()


@contextmanager
def in_turn(home: Path, model: ModelName, writer: Registry) -> Iterator[Registry]:
    """Wait for the model's turn; give a writer that writes in it alone. What is read for a plan is read in the block.

    Where no Redis is known, or it does not answer, nobody else can have the turn, and the writer is given as it is.
    Raises Refused where the turn does not come, or is over before the last write.
    """
    with ExitStack() as held:
        turn = _turn(home, model, held)
        try:
            yield writer if turn is None else WriterInTurn(writer, _CommandsTurn(turn))
        except TurnLost:
            raise Refused(
                f"This took over {LONGEST.total_seconds():.0f} s, and somebody else may change {model} now. "
                "See what serves before you repeat it."
            ) from None


def _turn(home: Path, model: ModelName, held: ExitStack) -> Turn | None:
    """Return the turn, held until `held` closes; None without a Redis."""
    if not os.environ.get(_SETTING) and state.running_stack(home) is None:
        return None
    client = held.enter_context(connect_briefly(Redis(url=store_url(home, _SETTING))))
    # Its end can't be told to a Redis that has gone meanwhile: then it is over by itself.
    held.enter_context(contextlib.suppress(redis.RedisError))
    turns = ModelTurns(client, worker=f"command {os.uname().nodename} {os.getpid()}")
    wait = LongWait(late=_TOLD_AFTER)
    while wait.seconds < PATIENCE.total_seconds():
        try:
            turn = held.enter_context(turns.held(model))
        except (redis.RedisError, OSError):
            return None
        if turn is not None:
            return turn
        wait.tell(f"Another change of {model} is under way: waiting until it is done.")
        time.sleep(_PAUSE)
    raise Refused(f"Another change of {model} has been under way for a minute: try again later.")
