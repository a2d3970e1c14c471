"""Real servers for tests: Redis and Postgres, started once a run and emptied for each test, or one's own to break."""

import atexit
import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import orjson
import pytest
import redis
from sqlalchemy import Engine, text

from shared.domain.identifiers import new_uuid7
from shared.settings import Database
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.tables import metadata
from tests.support.leftovers import Leftovers
from tests.support.model_settings import pytest_pyfunc_call, settings_of_a_new_process  # noqa: F401  for pytest
from tests.support.places import OF_THEIR_OWN, RESTARTING
from tests.support.run_folder import RunFolder
from tests.support.servers import PostgresServer, RedisServer
from tests.support.waiting import ENOUGH_TIME, LIMIT

# No deadline, and no limit for making examples: how long they take depends on the machine.
hypothesis.settings.register_profile("darkroom", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("darkroom")

# Nor has a request that names no time-out: httpx would give up after five seconds.
for _step in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _step, LIMIT)

CHECKOUT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Leftovers(CHECKOUT))
        folder = RunFolder(CHECKOUT)
        config.pluginmanager.register(folder)
        config.option.basetemp = config.option.basetemp or folder.path / "t"  # its own would be a longer path
    os.environ.update(ENOUGH_TIME)
    # A shell starts background jobs with these ignored, and the processes that tests interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--simulation-seconds", type=float, default=6, help="how long the protocol simulation plays")
    parser.addoption("--outage-seconds", type=float, default=8, help="how long Postgres is away under load")


LONGEST_ID = 60


@pytest.hookimpl(tryfirst=True)
def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten the ids of long parameters: each process of a run sends all ids to the one that distributes the tests."""
    if not isinstance(val, str | bytes) or len(val) <= LONGEST_ID:
        return None
    start = val[:LONGEST_ID].decode("latin-1") if isinstance(val, bytes) else val[:LONGEST_ID]
    return start.encode("unicode_escape").decode() + "..."


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Escape what is no UTF-8 in what tests wrote: sending half a surrogate pair would end the whole run."""
    data = yield
    if data and data.get("sections"):
        data["sections"] = [
            (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in data["sections"]
        ]
    return data


IMPORTED_WHILE_COLLECTING = pytest.StashKey[frozenset[str]]()

# Importing makes no garbage to speak of, and what was imported stays: looking through it took the unit tests 8 of 55 s.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[IMPORTED_WHILE_COLLECTING] = frozenset(sys.modules)
    gc.enable()
    gc.set_threshold(50_000)  # by Python's 700 it took each process 4 to 9% of its time
    gc.freeze()
    atexit.register(gc.unfreeze)


# The longest first: what begins last decides when the run ends. Then the folders, those with slow tests before others.
GROUPS = ("restarted stack", "stack", "breakable stack", "registry", "torch", "tasks' stack", "traced stack")
ORDER = (*GROUPS, "integration", "component", "unit")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In several processes, keep tests together that share a stack or torch, and begin with the longest group."""
    if not hasattr(config, "workerinput"):
        return
    placed = [(_place(item), item) for item in items]
    for place, item in placed:
        if place in GROUPS:
            item.add_marker(pytest.mark.xdist_group(place))
    placed.sort(key=lambda one: ORDER.index(one[0]) if one[0] in ORDER else len(ORDER))
    items[:] = [item for _, item in placed]


def _place(item: pytest.Item) -> str:
    """Return the name of a test's stack or group, or of the folder of one that has none."""
    if group := item.get_closest_marker("xdist_group"):
        return str(group.args[0])
    fixtures = getattr(item, "fixturenames", ())
    if "acceptance" not in item.path.parts:
        # Six seconds of a core in each process that imports torch and MLflow and exports its first model.
        return "registry" if "template" in fixtures else item.path.relative_to(Path(__file__).parent).parts[0]
    if item.path.name in OF_THEIR_OWN:
        return OF_THEIR_OWN[item.path.name]
    if "breakable" in fixtures:
        return "breakable stack"
    if "tasks_stack" in fixtures:
        return "tasks' stack"
    return "restarted stack" if item.path.name in RESTARTING else "stack"


@pytest.fixture(scope="session")
def imported_while_collecting(pytestconfig: pytest.Config) -> frozenset[str]:
    """Names of the modules that were there when all tests had been collected."""
    return pytestconfig.stash[IMPORTED_WHILE_COLLECTING]


@pytest.fixture(scope="session")
def short_directory() -> Callable[[], Path]:
    """Make directories in the run's, whose paths leave room for a socket's name (107 bytes in all)."""
    return lambda: Path(tempfile.mkdtemp(prefix="dr-"))


@pytest.fixture(scope="session")
def _redis(short_directory: Callable[[], Path]) -> Iterator[RedisServer]:
    server = RedisServer(short_directory())
    yield server
    server.kill()


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """An empty Redis without persistence; `.url` and `.client()`. Shared by the run: not to be killed."""
    with _redis.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    return _redis


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator["redis.Redis"]:
    """A client of the empty Redis."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def start_redis(short_directory: Callable[[], Path]) -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis that the test may kill and start again: `start_redis(directory=None, appendfsync="always")`."""
    started: list[RedisServer] = []

    def start(
        directory: Path | None = None, *, appendfsync: str | None = "always", arguments: tuple[str, ...] = ()
    ) -> RedisServer:
        started.append(RedisServer(directory or short_directory(), appendfsync=appendfsync, arguments=arguments))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def _postgres(short_directory: Callable[[], Path]) -> Iterator[PostgresServer]:
    server = PostgresServer(short_directory())
    upgrade(server.url)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _emptying(_postgres: PostgresServer) -> Iterator[Engine]:
    engine = make_engine(Database(url=_postgres.url))
    yield engine
    engine.dispose()


@pytest.fixture
def database_url(_postgres: PostgresServer, _emptying: Engine) -> str:
    """A migrated Postgres with empty tables, shared by the run."""
    with _emptying.begin() as connection:
        connection.execute(text("TRUNCATE " + ", ".join(metadata.tables)))
    return _postgres.url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the migrated, empty database."""
    engine = make_engine(Database(url=database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def start_postgres(short_directory: Callable[[], Path]) -> Iterator[Callable[[], PostgresServer]]:
    """Start a Postgres, not migrated, that the test may stop and start again."""
    started: list[PostgresServer] = []

    def start() -> PostgresServer:
        started.append(PostgresServer(short_directory()))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def batch_record() -> Callable[..., dict[bytes, bytes]]:
    """Make the record of a batch whose upload has been read, as the scripts write it to the finished stream.

    Keywords replace fields (`state="canceled"`); `request` takes members to change or add.
    """

    def make(id: str, *, total: int, request: dict[str, Any] | None = None, **fields: str | int) -> dict[bytes, bytes]:
        now = time.time_ns() // 1000
        facts = {"model": "digits", "metadata": {}, "base_url": "http://host:8000", "webhook": None}
        record: dict[str, str | int | bytes] = {
            "id": id, "state": "in_progress", "total": total, "created": now - 1000, "completed": now,
            "request": orjson.dumps(facts | {"skipped": 0, "skipped_files": []} | (request or {})), "owner": "default",
        }  # fmt: skip
        return {
            name.encode(): value if isinstance(value, bytes) else str(value).encode()
            for name, value in (record | fields).items()
        }

    return make


@pytest.fixture
def row(engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]) -> Callable[[str], None]:
    """Record a prediction of an owner."""
    from shared.storage.recording import record  # noqa: PLC0415  most tests record nothing

    def row(owner: str) -> None:
        with engine.connect() as connection:
            record(connection, [finished_record(owner=owner)])

    return row


@pytest.fixture(scope="session")
def finished_record() -> Callable[..., dict[bytes, bytes]]:
    """Make the record of a prediction that succeeded, as the scripts write it to the finished stream.

    Keywords replace fields (`state="failed"`); `request` and `output` take members to change or add.
    """

    def make(
        *, request: dict[str, Any] | None = None, output: dict[str, Any] | None = None, **fields: str | int | bytes
    ) -> dict[bytes, bytes]:
        created = time.time_ns() // 1000
        image = {"sha256": "ab" * 32, "format": "PNG", "width": 32, "height": 32, "bytes": 1480, "filename": "7.png"}
        default_request = {
            "model": "digits", "version": "3", "version_key": "3-m-1", "variant": "champion", "image": image,
            "metadata": {}, "base_url": "http://host:8000", "webhook": None, "custom_id": None,
        }  # fmt: skip
        default_output = {
            "predicted_class": "7", "predicted_index": 7, "confidence": 0.998,
            "probabilities": {"7": 0.998, "1": 0.001},
        }  # fmt: skip
        record: dict[str, str | int | bytes] = {
            "id": new_uuid7(), "state": "succeeded", "owner": "default", "batch": "",
            "request": orjson.dumps(default_request | (request or {})), "created": created, "started": created + 2_100,
            "completed": created + 10_100, "source": "model", "output": orjson.dumps(default_output | (output or {})),
            "error": "", "code": "", "attempts": 1, "run": '{"batch_size":17,"predict_ms":6.4,"worker":"host-1"}',
        }  # fmt: skip
        return {
            name.encode(): value if isinstance(value, bytes) else str(value).encode()
            for name, value in (record | fields).items()
        }

    return make
