"""A stack's supervisor whose Python programs are forks: `python -m tests.support.forking_supervisor OPTIONS`.

It differs from the real one in how a program is started, and in nothing else. What starts one really is tested by the
tests of the supervisor, and by each stack that is started without this.
"""

import asyncio
import os
import sys
from typing import Any

from cli.stack import permissions, supervisor_process
from cli.stack.plan import Options
from cli.stack.supervisor.programs import Program, open_log
from cli.stack.supervisor.supervisor import Supervisor
from tests.support import program_forks
from tests.support.program_forks import FORKED, Fork, Forked, start

FORKS_AT_ONCE = ("mlflow", "model")
"""The registry and the step that trains the demo model, which import MLflow and torch for 9 seconds of a core: forks
also where others begin as people start them."""


class _Process:
    """What the supervisor uses of `asyncio.subprocess.Process`."""

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        self.pid = fork.pid
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(fork.fileno(), self._read_status)

    def _read_status(self) -> None:
        self._loop.remove_reader(self._fork.fileno())
        status = self._fork.poll()
        assert status is not None
        self._ended.set_result(status)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, which: int) -> None:
        self._fork.send_signal(which)


class ForkingSupervisor(Supervisor):
    """Starts Python programs as forks, and others as ever; where FORKED says so, most only when they start again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun: set[str] = set()

    async def _spawn(self, program: Program) -> Any:
        is_first = program.name not in (*self._begun, *FORKS_AT_ONCE)
        self._begun.add(program.name)
        executable, *words = program.command
        if executable != sys.executable or (is_first and os.environ[FORKED] == Forked.AGAIN):
            return await super()._spawn(program)
        if words[:2] == ["-W", "ignore"]:
            del words[:2]
        option, module, *arguments = words
        asked = program_forks.Program(
            module, tuple(arguments), self.environment_of(program), self._home, is_code=option == "-c",
            niceness=program.niceness, umask=permissions.UMASK, orphan_signal=program.orphan_signal,
        )  # fmt: skip
        with open_log(self._home, program.role) as output:
            return _Process(await asyncio.to_thread(start, asked, log=output.fileno()))


if __name__ == "__main__":
    supervisor_process.Supervisor = ForkingSupervisor  # type: ignore[misc]
    supervisor_process.main(Options.from_json(sys.argv[1]), attached="attached" in sys.argv[2:])
