"""What another user of the machine finds of a running stack."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from cli.stack.servers.mlflow_login import Login

if TYPE_CHECKING:
    from tests.support.stack import Stack

NOBODY = 65534
REACHES = """
import json, os, socket, sys
os.setgroups([]); os.setgid(NOBODY); os.setuid(NOBODY)
def reach(path, kind):
    try:
        if kind == "folder":
            os.listdir(path)
        elif kind == "socket":
            socket.socket(socket.AF_UNIX).connect(path)
        else:
            open(path, "rb").close()
    except OSError:
        try:
            open(path, "ab").close() if kind == "file" else os.mkdir(path + "/new")
        except OSError:
            return False
    return True
print(json.dumps([path for path, kind in json.load(sys.stdin) if reach(path, kind)]))
"""

_CHAMPION = "/api/2.0/mlflow/registered-models/alias?name=digits&alias=champion"
UNINVITED = """
import sys
import mlflow
from mlflow import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
class Uninvited(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
with mlflow.start_run():
    logged = mlflow.pyfunc.log_model(
        name="model", python_model=Uninvited(), pip_requirements=[], registered_model_name="digits"
    )
MlflowClient().set_registered_model_alias("digits", "champion", logged.registered_model_version)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def reached_by_nobody(paths: list[Path]) -> list[Any]:
    """Which of these another user can list, read, write or connect to, each checked separately."""
    asked = [(str(path), kind(path)) for path in paths]
    program = [sys.executable, "-I", "-S", "-c", REACHES.replace("NOBODY", str(NOBODY))]
    done = subprocess.run(program, input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


def kind(path: Path) -> str:
    mode = path.stat().st_mode
    return "folder" if stat.S_ISDIR(mode) else "socket" if stat.S_ISSOCK(mode) else "file"


def everything_in(folder: Path) -> list[Path]:
    return [folder, *(path for path in folder.rglob("*") if path.exists() and not path.is_symlink())]


def test_another_user_reads_nothing_under_the_home_and_reaches_no_socket(stack: "Stack") -> None:
    stack.darkroom("submit", "--wait", *map(str, stack.images[:5]))
    stack.darkroom("bulk", str(stack.images[0].parent))
    sockets = Path(stack.url_of("redis").removeprefix("unix://")).parent
    paths = everything_in(stack.home) + everything_in(sockets)
    assert {"redis", "logs", "mlflow", "held-out", "bulk", "ports", "postgres"} <= {path.name for path in paths}
    assert {"redis.sock", ".s.PGSQL.5432"} <= {path.name for path in paths if kind(path) == "socket"}
    assert reached_by_nobody(paths) == []
    # Others get as far as the home: it is what keeps them out, no folder above it.
    assert reached_by_nobody([stack.home.parent]) or stack.home.parent.stat().st_mode & stat.S_IXOTH


def test_another_user_reads_no_file_that_the_processes_have_open(stack: "Stack") -> None:
    pids = [process.pid for process in stack.state.processes()]
    processes = [process for pid in pids for process in (psutil.Process(pid), *psutil.Process(pid).children())]
    opened = {Path(file.path) for process in processes for file in process.open_files()}
    installed = (Path(sys.prefix), Path(sys.base_prefix), Path("/usr"), Path("/dev/null"))
    ours = [path for path in opened if path.exists() and not any(path.is_relative_to(place) for place in installed)]
    assert any(path.name.startswith("appendonly") for path in ours)
    assert reached_by_nobody(ours) == []


def test_no_process_has_a_umask_that_lets_others_read(stack: "Stack") -> None:
    pids = [process.pid for process in stack.state.processes()]
    masks = {pid: _umask(pid) for pid in pids}
    assert set(masks.values()) == {0o077}, masks


def _umask(pid: int) -> int:
    facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(facts["Umask"], 8)


def test_another_user_can_neither_write_nor_read_the_registry(stack: "Stack", tmp_path: Path) -> None:
    url = stack.url_of("mlflow")
    login = Login.read(stack.home)
    assert login is not None
    before = httpx.get(f"{url}{_CHAMPION}", auth=(login.username, login.password))
    assert before.status_code == 200
    for path in (_CHAMPION, "/", "/version", "/ajax-api/2.0/mlflow/experiments/search", "/metrics", "/server-info"):
        answer = httpx.get(f"{url}{path}")
        assert (answer.status_code, "darkroom" in answer.text, login.password in answer.text) == (401, True, False)
        assert answer.headers["www-authenticate"].startswith("Basic ")
    put = httpx.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/x/model.pkl", content=b"code")
    assert put.status_code == 401
    # As MLflow's own client asks: a script of another user's, which has no login.
    script = tmp_path / "uninvited.py"
    script.write_text(UNINVITED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), url], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "401" in done.stderr
    after = httpx.get(f"{url}{_CHAMPION}", auth=(login.username, login.password))
    assert after.json() == before.json()


def test_no_command_line_or_log_contains_the_registrys_password(stack: "Stack") -> None:
    login = Login.read(stack.home)
    assert login is not None
    lines = [" ".join(process.cmdline()) for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
    assert not [line for line in lines if login.password in line]
    assert not [
        log.name for log in (stack.home / "logs").iterdir() if login.password in log.read_text(errors="replace")
    ]
    assert login.password not in stack.darkroom("status", "--json").stdout + (stack.home / "state.json").read_text()
    said = stack.up()
    assert f"user {login.username}, password {login.password}" in said
    assert f"login in {stack.home}/mlflow.env" in stack.darkroom("status").stdout


def test_a_browser_with_the_login_sees_the_registry(stack: "Stack") -> None:
    url = stack.url_of("mlflow")
    login = Login.read(stack.home)
    assert login is not None
    with httpx.Client(base_url=url, auth=(login.username, login.password)) as browser:
        page = browser.get("/")
        assert page.status_code == 200
        assert "<html" in page.text.lower()
        scripts = re.findall(r'src="(?:\./)?(static-files/[^"]+\.js)"', page.text)
        assert scripts
        assert browser.get(f"/{scripts[0]}").status_code == 200
        # A page that has its own name resolved to this machine.
        for host in ("evil.example", "10.evil.example", "192.168.evil.example"):
            assert browser.get("/", headers={"Host": host}).status_code == 403
    assert httpx.get(f"{url}/health").status_code == 200
