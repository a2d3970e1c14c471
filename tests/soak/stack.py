"""The stack under test: started and stopped by its command, seen through its state file, its HTTP and its servers."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.soak.model import NAME

_FORKED = (sys.executable, "-m", "tests.support.forked_command")
COMMAND = _FORKED if "FORKED_PROGRAMS" in os.environ else (Path(sys.executable).with_name("darkroom"),)
"""In `make test` the programs that are started again are forks, which need not import for seconds of a core."""
DISK_BYTES = 1024**3
_SETTINGS = {
    # Dead workers are given up and receivers retried sooner, so that minutes show what hours would; else defaults.
    "DARKROOM_QUEUE_LEASE": "3",
    "DARKROOM_RECORDING_LEASE": "3",
    "DARKROOM_BULK_LEASE": "6",
    "DARKROOM_WEBHOOKS_TIMEOUT": "2",
    "DARKROOM_WEBHOOKS_LEASE": "3",
    "DARKROOM_WEBHOOKS_PAUSES": json.dumps([1, 2, 3] + [5] * 40),
    "DARKROOM_WEBHOOKS_BREAKER_REST": "2",
}


@dataclass
class SoakedStack:
    """A stack on a home of its own, on a small disk of its own where one can be had."""

    home: Path
    port: int
    has_disk: bool
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Where its gateway is."""
        return f"http://127.0.0.1:{self.port}"

    def darkroom(self, *arguments: str, expect: int = 0, seconds: float = 400) -> str:
        """Run its command and return what that prints; raises RuntimeError for another exit code than `expect`."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != expect:
            raise RuntimeError(
                f"darkroom {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout + done.stderr

    def state(self) -> dict[str, Any]:
        """Return what its supervisor wrote last; empty where that can't be read."""
        try:
            found: dict[str, Any] = json.loads((self.home / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def store(self, name: str) -> str:
        """Return a store's address: DARKROOM_REDIS_URL, DARKROOM_DATABASE_URL or DARKROOM_REGISTRY_URL."""
        return str(self.state()["stores"][name])

    def pids(self, role: str) -> list[int]:
        """Return the pids of a role's processes that run now."""
        programs = self.state().get("programs", [])
        return [one["process"]["pid"] for one in programs if one["role"] == role and one["process"]]

    def not_ready(self) -> list[str]:
        """Return what is not ready now, with the reason."""
        programs = self.state().get("programs", [])
        late = [f"{one['name']}: {one['phase']} {one['detail']}" for one in programs if one["phase"] != "ready"]
        return late if programs else ["its state can't be read"]

    def promote(self, version: str) -> None:
        """Point `champion` at a version, through MLflow's REST interface; raises OSError where nobody answers."""
        body = json.dumps({"name": NAME, "alias": "champion", "version": version}).encode()
        url = self.store("DARKROOM_REGISTRY_URL") + "/api/2.0/mlflow/registered-models/alias"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
        login = self.registry_login()
        user, password = login["MLFLOW_TRACKING_USERNAME"], login["MLFLOW_TRACKING_PASSWORD"]
        request.add_header("Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310  loopback
            pass

    def webhook_secret(self) -> str:
        """Return what signs this stack's webhooks."""
        with urllib.request.urlopen(f"{self.url}/v1/webhooks/default/secret", timeout=10) as answer:  # noqa: S310
            return str(json.load(answer)["key"])

    def registry_login(self) -> dict[str, str]:
        """Return the variables that MLflow's client needs to be let in."""
        lines = (self.home / "mlflow.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def fill_disk(self) -> Callable[[], None]:
        """Write until the disk is full; return what makes room again."""
        filler = self.home.parent / "filler"
        with filler.open("wb", buffering=0) as file:
            block = bytes(64 * 1024)
            try:
                while True:
                    file.write(block)
            except OSError:
                pass
        return lambda: filler.unlink(missing_ok=True)


@contextmanager
def running(*, port: int, delays: int | None = None) -> Iterator[SoakedStack]:
    """Start a stack that serves the model `numbers`; stopped and removed after the block.

    With `delays`, their seed, statements of its gateways and workers are delayed by chance (`delays/sitecustomize.py`).
    """
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir="/tmp"))
    has_disk = _mount_disk(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DARKROOM_", "MLFLOW_"))}
    pictures = {"DARKROOM_KEEP_IMAGES_URL": str(folder / "pictures"), "DARKROOM_KEEP_IMAGES_WHICH": "20%"}
    environment = kept | _SETTINGS | pictures | {"DARKROOM_HOME": str(folder / "home")}
    if delays is not None:
        environment |= {"DARKROOM_DELAYS": str(delays), "PYTHONPATH": str(Path(__file__).with_name("delays"))}
    stack = SoakedStack(home=folder / "home", port=port, has_disk=has_disk, environment=environment)
    try:
        yield stack
    finally:
        subprocess.run([*COMMAND, "down"], env=environment, capture_output=True, timeout=200, check=False)
        if has_disk:
            _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def begin(stack: SoakedStack) -> None:
    """Start everything, register the model meanwhile, and return when it serves."""
    with subprocess.Popen(
        [*COMMAND, "up", "--detach", "--port", str(stack.port), "--model", NAME],
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        try:
            _wait_for_registry(stack, up)
            environment = stack.environment | stack.registry_login() | {"MLFLOW_DISABLE_TELEMETRY": "true"}
            command = [sys.executable, "-W", "ignore", "-m", "tests.soak.model", stack.store("DARKROOM_REGISTRY_URL")]
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
        except BaseException:
            up.terminate()
            raise
        printed, _ = up.communicate(timeout=300)
    if up.returncode != 0:
        raise RuntimeError(f"darkroom up ended with {up.returncode}:\n{printed}")
    _wait_for_model(stack)


def _wait_for_model(stack: SoakedStack) -> None:
    """Wait for the champion: `up` waits for no model that was not registered when its worker started."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{stack.url}/v1/models/{NAME}", timeout=10) as answer:  # noqa: S310  loopback
                if "champion" in json.load(answer)["aliases"]:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{NAME} is not served")


def _wait_for_registry(stack: SoakedStack, up: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and up.poll() is None:
        programs = stack.state().get("programs", [])
        if any(one["role"] == "mlflow" and one["phase"] == "ready" for one in programs):
            return
        time.sleep(0.2)
    raise RuntimeError("MLflow did not become ready")


def _mount_disk(folder: Path) -> bool:
    """Put a small disk of memory under a folder; False where this user may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(folder: Path) -> None:
    for _ in range(20):
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
