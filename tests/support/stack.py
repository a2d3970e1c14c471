"""A whole stack as people run it: the `darkroom` command on a home of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cli.stack.plan import held_out_folder
from cli.stack.servers.mlflow_login import Login
from cli.stack.supervisor.state import StackState, running_stack
from tests.support.command_forks import command_forks
from tests.support.program_forks import FORKED, ROOT, SOCKET, Forked, Kind, keep_running, socket_path, without_settings
from tests.support.waiting import LIMIT

# Nothing that the developer has set points a test elsewhere.
ENVIRONMENT = {
    **without_settings(),
    "FLOWER_UNAUTHENTICATED_API": "true",
}
COMMAND = Path(sys.executable).with_name("darkroom")
OF_ITS_OWN = {"down", "up"}
"""Commands that are run as people run them; others are forks, which need not import for half a second of a core."""


class Stack:
    """A stack on a home of its own. A test that breaks something waits until it runs again: `wait_until_ready`.

    It has one predict worker, where `up` starts one a core: each start of one is five seconds of a core. More are for
    tests of several that serve at once or die one by one. `forked` are its programs that need not import for that.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int,
        environment: dict[str, str] | None = None,
        predict_workers: int = 1,
        forked: Forked = Forked.NONE,
    ) -> None:
        self.home = home
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.predict_workers = predict_workers
        own = {"DARKROOM_HOME": str(home), "DARKROOM_LOCAL_PREDICT_WORKERS": str(predict_workers)}
        self.environment = ENVIRONMENT | own | (environment or {})
        self._forked = forked

    def darkroom(self, *arguments: str, expect: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Run the command on this home; `expect` is the exit code, None for any."""
        done: subprocess.CompletedProcess[str]
        forking: dict[str, str] = {}
        if arguments[0] == "up" and self._forked is not Forked.NONE:
            keep_running(Kind.OTHERS)
            path = os.pathsep.join(filter(None, (str(ROOT), self.environment.get("PYTHONPATH"))))
            forking = {FORKED: self._forked, SOCKET: str(socket_path()), "PYTHONPATH": path}
        if arguments[0] in OF_ITS_OWN and not forking:
            done = subprocess.run(
                [COMMAND, *arguments], env=self.environment, capture_output=True, text=True, timeout=280, check=False
            )
        else:
            ended = command_forks().run(*arguments, home=self.home, **self.environment | forking)
            done = subprocess.CompletedProcess(arguments, ended.returncode, ended.stdout, ended.stderr)
        assert expect in (None, done.returncode), done.stdout + done.stderr
        return done

    def up(self, *arguments: str) -> str:
        """Start it and return what the command prints."""
        return self.darkroom("up", "--detach", "--port", str(self.port), *arguments).stdout

    def down(self) -> str:
        """Stop it and return what the command prints."""
        return self.darkroom("down").stdout

    def status(self) -> dict[str, dict[str, Any]]:
        """Return `{role: {url, pids, state, metrics_urls}}`."""
        facts: dict[str, dict[str, Any]] = json.loads(self.darkroom("status", "--json").stdout)
        return facts

    @property
    def state(self) -> StackState:
        """What its supervisor wrote last: most of what `status` says, without starting a process for it."""
        found = running_stack(self.home)
        assert found is not None
        return found

    def pids(self, role: str) -> list[int]:
        """Return the pids of a role's processes that run now."""
        programs = self.state.of_role(role)
        return [program.process.pid for program in programs if program.process is not None]

    def url_of(self, role: str) -> str:
        """Return where a role is reached."""
        url = self.state.url_of(role)
        assert url is not None
        return url

    @property
    def stores(self) -> dict[str, str]:
        """What another process needs to use this stack's Redis and Postgres."""
        return {"DARKROOM_REDIS_URL": self.url_of("redis"), "DARKROOM_DATABASE_URL": self.url_of("postgres")}

    def wait_until_ready(self, *, seconds: float = LIMIT) -> dict[str, dict[str, Any]]:
        """Return the status once every role is ready; fails after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            # The supervisor's file first: the command is a process, which programs that are starting would wait for.
            state = running_stack(self.home)
            if state is not None and state.is_ready:
                facts = self.status()
                if all(role["state"] == "ready" for role in facts.values()):
                    return facts
            assert time.monotonic() < until, state
            time.sleep(0.1)

    @property
    def registry_environment(self) -> dict[str, str]:
        """What another program needs to use this stack's registry."""
        login = Login.read(self.home)
        assert login is not None
        return {"DARKROOM_REGISTRY_URL": self.url_of("mlflow"), **login.environment()}

    @property
    def images(self) -> list[Path]:
        """Held-out scans, named `<label>-<number>.png`."""
        return sorted(held_out_folder(self.home).glob("*.png"))
