"""Runs many `darkroom` commands from one interpreter, each in a fork with arguments, home and streams of its own.

A fork has what its parent has imported; a process of its own would need a third of a second of a core each time. As a
program it reads the commands, pickled, from its input, and writes what they did.
"""

import gc
import importlib
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).parents[2]
COMMANDS = ("audit", "bulk", "down", "keys", "migrate", "purge", "status", "submit")
MODULES = ("cli.main", "cli.webhooks.listen", *(f"cli.{command}.run" for command in COMMANDS))


@dataclass(frozen=True)
class Ended:
    """A command's exit status, and all that it wrote."""

    returncode: int
    said: bytes


def run_commands(commands: list[tuple[tuple[bytes, ...], bytes]], *, environment: dict[str, str]) -> list[Ended]:
    """Run commands, each given as arguments and home, one after the other in an interpreter with this environment."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.command_forks"],
        input=pickle.dumps(commands), env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    ended: list[Ended] = [Ended(*pair) for pair in pickle.loads(done.stdout)]  # noqa: S301  our own
    return ended


def _serve() -> None:
    commands = pickle.load(sys.stdin.buffer)  # noqa: S301
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()  # else each fork goes through all of it as it ends: a quarter of a second
    done: list[tuple[int, bytes]] = []
    for arguments, home in commands:
        with TemporaryFile() as file:
            child = os.fork()
            if child == 0:
                _become(arguments, home, file.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            file.seek(0)
            done.append((status, file.read()))
    sys.stdout.buffer.write(pickle.dumps(done))


def _become(arguments: tuple[bytes, ...], home: bytes, output: int) -> None:
    """Go on as the command: SystemExit and exceptions end this process as they end any."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environb[b"DARKROOM_HOME"] = home
    sys.argv[:] = ["darkroom", *map(os.fsdecode, arguments)]
    from cli.main import app  # noqa: PLC0415

    app()
    sys.exit()


if __name__ == "__main__":
    _serve()
