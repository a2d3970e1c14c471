"""Many commands in one write on one connection, and the reply to each."""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from shared.queue.connection.refusals import RedisRefuses, code_of, named
from shared.queue.lua import Script, source

# One write holds up every answer behind it: 256 KB is 0.1 ms of copying, 20 MB would be felt by all.
LARGE: Final = 256 * 1024

Command = tuple[bytes | str | int, ...]
Pending = tuple[Command, "asyncio.Future[Any]"]
Refuse = Callable[[Pending, RedisRefuses], None]
"""Called with a command that Redis refuses for now."""


async def exchange(
    connection: AbstractConnection, batch: list[Pending], refuse: Refuse, *, in_pieces: bool = False
) -> list[Pending]:
    """Write all commands, then read all replies; return the commands to send again, whose script Redis did not know."""
    commands = [command for command, _ in batch]
    for written in ([piece] for piece in chain(*map(_pieces, commands))) if in_pieces else (_packed(commands),):
        await connection.send_packed_command(written, check_health=False)
    again = []
    for pending in batch:
        try:
            # No timeout for each reply: the caller's holds for all of them.
            reply = await connection.read_response(timeout=math.inf)
        except NoScriptError:
            again.append(pending)
        except (ResponseError, RedisConnectionError) as error:
            _judge(error, [pending], refuse)
        else:
            if not pending[1].done():
                pending[1].set_result(reply)
    if again and (problem := await _load_scripts(connection)):
        _judge(problem, again, refuse)
        return []
    return again


async def _load_scripts(connection: AbstractConnection) -> ResponseError | RedisConnectionError | None:
    """Load every script; return the last error, None where all were loaded."""
    loads = [("SCRIPT", "LOAD", source(script)) for script in Script]
    await connection.send_packed_command(_packed(loads), check_health=False)
    problem = None
    for _ in loads:
        try:
            await connection.read_response()
        except (ResponseError, RedisConnectionError) as error:
            if code_of(error) is None and not isinstance(error, ResponseError):
                raise
            problem = error
    return problem


def _judge(error: ResponseError | RedisConnectionError, batch: list[Pending], refuse: Refuse) -> None:
    """Hand an error to the commands it concerns, as refused or as failed; raise it where the connection was lost."""
    name = named(error)
    if isinstance(error, RedisConnectionError) and not isinstance(name, RedisRefuses):
        raise error
    for pending in batch:
        if isinstance(name, RedisRefuses):
            refuse(pending, name)
        else:
            fail(pending[1], name)


def _packed(commands: Iterable[Command]) -> list[bytes]:
    """Return commands in Redis' protocol; the asyncio client's own encoder takes 10 µs for a submission's 25 parts."""
    return [pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub takes tuples of one


def _pieces(command: Command) -> Iterator[bytes]:
    """Give a large command's bytes a piece at a time: encoded at once it takes three times its size in memory."""
    written = [b"*%d\r\n" % len(command)]
    for part in command:
        data = part if isinstance(part, bytes) else str(part).encode()
        written.append(b"$%d\r\n" % len(data))
        if len(data) > LARGE:
            yield b"".join(written)
            for start in range(0, len(data), LARGE):
                yield data[start : start + LARGE]
            written = [b"\r\n"]
        else:
            written += (data, b"\r\n")
    yield b"".join(written)


def fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    """Set the error, unless the future is done."""
    if not future.done():
        future.set_exception(error)
