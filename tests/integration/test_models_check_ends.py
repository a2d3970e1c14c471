"""However `darkroom models check` ends, the process that runs the model's code ends with it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

# MLflow warns of its own type hints while it is imported.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]


def is_gone(pid: int) -> bool:
    with suppress(FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
        return state == "Z"
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a kernel does not end it")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_of_a_check_that_is_ended(
    mlflow_store: "MlflowStore", tmp_path: Path, sent: signal.Signals
) -> None:
    told = tmp_path / "pid"
    code = f"import os, time\nopen({str(told)!r}, 'w').write(f'{{os.getpid()}}.')\ntime.sleep(600)\n"
    mlflow_store.register_code(code, requirements=[])
    command = [sys.executable, "-W", "ignore", "-m", "cli.main", "models", "check", str(tmp_path / "model-1")]
    environment = os.environ | {"DARKROOM_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        # Its last letter is the dot: the number is whole.
        until(lambda: told.exists() and told.read_text(encoding="utf-8").endswith("."), what="the model's code runs")
        process.send_signal(sent)
        _, errors = process.communicate()
    checking = int(told.read_text(encoding="utf-8").rstrip("."))
    assert checking != process.pid
    until(lambda: is_gone(checking), what="the end of the process that checks")
    assert process.returncode == (-sent if sent is signal.SIGKILL else 130)
    assert b"Traceback" not in errors
