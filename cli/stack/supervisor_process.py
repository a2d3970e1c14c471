"""The process that runs a stack, begun by `up`: `python -m cli.stack.supervisor_process OPTIONS [attached]`."""

import asyncio
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.stack import permissions
from cli.stack.plan import Options, Plan, called_networks, plan_stack, scratch_folder
from cli.stack.ports import Ports
from cli.stack.supervisor import leftovers
from cli.stack.supervisor.identity import ProcessIdentity
from cli.stack.supervisor.programs import log_path
from cli.stack.supervisor.state import ProgramState, StackState
from cli.stack.supervisor.state_writer import StateWriter
from cli.stack.supervisor.supervisor import Supervisor
from shared import settings
from shared.observability.logs import configure_logging

# Leaves room for `/darkroom-12345678/postgres/.s.PGSQL.5432`: a socket's path has at most 103 bytes on macOS.
LONGEST_FOLDER: Final = 60


def main(options: Options, *, attached: bool) -> None:
    """Run the stack until SIGTERM or SIGINT; attached, also until standard input ends."""
    os.umask(permissions.UMASK)  # inherited by every program
    configure_logging(settings.Logging(format="text", file=str(log_path(options.home, "supervisor"))))
    appendfsync = settings.read(settings.Local).local_appendfsync
    networks, intake = called_networks(settings.read(settings.Webhooks)), settings.read(settings.Intake)
    with alone_on(options.home), Ports(options.home / "ports", taken=[options.port]) as ports:
        leftovers.clear_leftovers(options.home)
        shutil.rmtree(scratch_folder(options.home), ignore_errors=True)
        scratch_folder(options.home).mkdir()
        sockets = socket_folder()
        try:
            planned = plan_stack(
                options, sockets=sockets, ports=ports, appendfsync=appendfsync, networks=networks, intake=intake
            )
            asyncio.run(run(options, planned, sockets, networks=networks, attached=attached))
        finally:
            shutil.rmtree(sockets, ignore_errors=True)


async def run(options: Options, planned: Plan, sockets: Path, *, networks: list[str], attached: bool) -> None:
    """Keep the planned programs running and `state.json` up to date."""
    me = ProcessIdentity.of(os.getpid())
    if me is None:
        raise RuntimeError("a process that runs has an identity")

    def changed(programs: list[ProgramState], stopping: bool) -> None:  # noqa: FBT001  Supervisor calls it so
        notes.keep(
            StackState(
                supervisor=me,
                url=options.url,
                models=list(options.models),
                stores=planned.stores,
                sockets=str(sockets),
                stopping=stopping,
                networks=networks,
                keys_required=bool(settings.read(settings.Auth).required),
                programs=programs,
            )
        )

    supervisor = Supervisor(planned.programs, home=options.home, environment=planned.environment, changed=changed)
    # The disk has room again: programs that failed for lack of it are restarted at once.
    notes = StateWriter(options.home, recovered=supervisor.hurry)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    if attached:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, loop, supervisor)
    try:
        await supervisor.run()
    finally:
        notes.close()


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
    """Stop when the attached command has ended, however it ended: its end of the pipe closes."""
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        supervisor.stop()


def socket_folder() -> Path:
    """Create a private folder for sockets; its path is short, since a socket's has 107 bytes at most."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="darkroom-", dir=usual if len(usual) <= LONGEST_FOLDER else "/tmp"))  # noqa: S108


@contextmanager
def alone_on(home: Path) -> Iterator[None]:
    """Lock a home; raises SystemExit where another supervisor has it. The kernel unlocks it when this process ends."""
    with (home / "supervisor.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another stack runs on {home}, or is stopping") from None
        yield


if __name__ == "__main__":
    main(Options.from_json(sys.argv[1]), attached="attached" in sys.argv[2:])
