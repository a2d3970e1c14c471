"""The real PgBouncer in transaction mode, before a Postgres of a test."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from sqlalchemy import Engine, text

from cli.stack.servers.postgres import SYSTEM_USER
from shared.storage.engine import connection_parameters
from shared.storage.tables import metadata
from tests.support.servers import PostgresServer
from tests.support.waiting import LIMIT

needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer") is None, reason="pgbouncer is not installed; Debian's package has its name"
)
PORT: Final = 6432
"""It names the socket; nothing listens at it."""
SERVERS: Final = 2
"""So many connections for all clients: each of them is another client's next moment."""


def once_more(*modules: str) -> dict[str, Any]:
    """Return what pytest collects in these modules, tests under names that include their module."""
    found = {}
    for module in map(import_module, modules):
        for name, member in vars(module).items():
            if name.startswith("test_"):
                found[f"{name}__{module.__name__.rpartition('test_')[2]}"] = member
            elif type(member).__name__ == "FixtureFunctionDefinition":
                found[name] = member
    return found


class PgBouncer:
    """Listens on a Unix socket in `folder`; `url` is the database behind it."""

    def __init__(self, folder: Path, *, to: str) -> None:
        behind = connection_parameters(to)
        self.url = f"postgresql://{behind['user']}@/{behind['dbname']}?host={folder}&port={PORT}"
        database = f"{behind['dbname']} = host={behind['host']} dbname={behind['dbname']} user={behind['user']}"
        settings = {
            "unix_socket_dir": folder, "listen_port": PORT, "pool_mode": "transaction", "auth_type": "any",
            "default_pool_size": SERVERS, "max_client_conn": 100, "logfile": folder / "log",
            "server_check_delay": 0,
        }  # fmt: skip
        written = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (folder / "ini").write_text(f"[databases]\n{database}\n[pgbouncer]\n{written}")
        account: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses to be root
            user = pwd.getpwnam(SYSTEM_USER)
            account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            for path in (folder, folder / "ini"):
                os.chown(path, user.pw_uid, user.pw_gid)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(["pgbouncer", folder / "ini"], **quiet, **account)
        for _ in range(500):
            with contextlib.suppress(psycopg2.OperationalError):
                psycopg2.connect(self.url).close()
                return
            time.sleep(0.01)
        raise RuntimeError((folder / "log").read_text() if (folder / "log").exists() else "pgbouncer did not start")

    def stop(self) -> None:
        """End it, and with it every connection; return when it has ended."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=LIMIT)


@pytest.fixture(scope="module")
def bouncer(_postgres: PostgresServer, short_directory: Callable[[], Path]) -> Iterator[PgBouncer]:
    """The tests' own database behind it."""
    bouncer = PgBouncer(short_directory(), to=_postgres.url)
    yield bouncer
    bouncer.stop()


@pytest.fixture
def database_url(bouncer: PgBouncer, _emptying: Engine) -> str:
    """The URL through PgBouncer of the tests' own, emptied database."""
    with _emptying.begin() as connection:
        connection.execute(text("TRUNCATE " + ", ".join(metadata.tables)))
    return bouncer.url
