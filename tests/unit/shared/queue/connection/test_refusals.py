"""How Redis' errors are recognised, in every version's wording and as the client library raises them."""

from typing import Any

import kombu
import pytest
import redis
from kombu.transport.redis import Channel
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from shared.queue.connection.clients import connect, connect_briefly
from shared.queue.connection.refusals import REFUSALS, Naming, RedisRefuses, code_of, describe, named
from shared.settings import Redis
from worker.process import broker_transport

REPLIES = {
    "READONLY You can't write against a read only replica.": "READONLY",
    "READONLY You can't write against a read only replica. script: f3a1, on @user_script:7.": "READONLY",
    "ERR Error running script (call to f_d1d9): @user_script:7: @user_script: 7: -READONLY You can't write against a "
    "read only replica.": "READONLY",
    "ERR Error running script (call to f_d1d9): @user_script:7: @user_script: 7: -NOREPLICAS Not enough good replicas "
    "to write.": "NOREPLICAS",
    "ERR Error running script (call to f_d1d9): @user_script:7: @user_script: 7: -MISCONF Errors writing to the AOF "
    "file: No space left on device": "MISCONF",
    "NOREPLICAS Not enough good replicas to write.": "NOREPLICAS",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.": "MISCONF",
    "MISCONF Errors writing to the AOF file: No space left on device": "MISCONF",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "BUSY",
    "LOADING Redis is loading the dataset in memory": "LOADING",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "MASTERDOWN",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": "UNBLOCKED",
    "CLUSTERDOWN The cluster is down": "CLUSTERDOWN",
    "CLUSTERDOWN Hash slot not served": "CLUSTERDOWN",
    "TRYAGAIN Multiple keys request during rehashing of slot": "TRYAGAIN",
    "MOVED 3999 127.0.0.1:6381": "MOVED",
    "ASK 3999 127.0.0.1:6381": "ASK",
    "NOAUTH Authentication required.": "NOAUTH",
    "WRONGPASS invalid username-password pair or user is disabled.": "WRONGPASS",
    "NOPERM this user has no permissions to run the 'evalsha' command": "NOPERM",
    "NOPERM User darkroom has no permissions to access one of the keys used as arguments": "NOPERM",
    "DENIED Redis is running in protected mode because protected mode is enabled": "DENIED",
    "ERR max number of clients reached": "MAXCLIENTS",
    "ERR Protocol error: unauthenticated bulk length": "NOAUTH",
    "ERR Protocol error: unauthenticated multibulk length": "NOAUTH",
    "EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.": "NOREPLICAS",
    "EXECABORT Transaction discarded because of: -MISCONF Errors writing to the AOF file": "MISCONF",
}
OURS = [
    "ERR unknown command 'NOSUCH', with args beginning with: ",
    "ERR value is not an integer or out of range",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOGROUP No such key 'lane:a' or consumer group 'workers' in XREADGROUP with GROUP option",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "NOSCRIPT No matching script. Please use EVAL.",
    "ERR Error running script (call to f_1): @user_script:9: user_script:9: attempt to index a nil value",
    # A client's own text inside an error is no refusal.
    "ERR Error running script (call to f_1): @user_script:9: user_script:9: bad model: READONLY BUSY ",
    "EXECABORT Transaction discarded because of previous errors.",
]


@pytest.mark.parametrize(("reply", "code"), REPLIES.items(), ids=lambda value: value[:60])
def test_a_refusal_is_recognised_in_every_wording(reply: str, code: str) -> None:
    error = BaseParser.parse_error(reply)
    assert code_of(error) == code
    name = named(error)
    assert isinstance(name, RedisRefuses)
    # The error that every caller which waits for a lost Redis catches.
    assert isinstance(name, RedisConnectionError)
    assert (name.code, str(name)) == (code, f"redis {REFUSALS[code].words} ({code})")
    assert describe(code) in str(name)


def test_every_refusal_in_the_table_has_a_case() -> None:
    assert set(REPLIES.values()) == REFUSALS.keys() - {"NOSCRIPT"}


@pytest.mark.parametrize("reply", OURS, ids=lambda reply: reply[:60])
def test_an_error_of_ours_is_no_refusal(reply: str) -> None:
    error = BaseParser.parse_error(reply)
    assert code_of(error) is None
    assert named(error) is error


@pytest.mark.parametrize(
    "error", [RedisConnectionError("Connection closed by server."), OSError(), ValueError("BUSY ")]
)
def test_an_outage_is_no_refusal(error: Exception) -> None:
    assert code_of(error) is None


@pytest.mark.parametrize(
    "reply",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "OOM command not allowed when used memory > 'maxmemory'. script: f3a1, on @user_script:7.",
        "ERR Error running script (call to f_1): @user_script:2: @user_script: 2: -OOM command not allowed when used.",
    ],
)
def test_out_of_memory_is_recognised(reply: str) -> None:
    error = BaseParser.parse_error(reply)
    assert code_of(error) is None
    assert isinstance(named(error), OutOfMemoryError)
    assert isinstance(named(error), ResponseError)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "unix:///nowhere.sock?db=2"])
@pytest.mark.parametrize("make", [connect, connect_briefly])
def test_every_blocking_client_raises_named_refusals(url: str, make: Any) -> None:
    client = make(Redis(url=url))
    assert issubclass(client.connection_pool.connection_class, Naming)
    assert client.connection_pool.make_connection().db == (2 if "db=2" in url else 0)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "redis+socket:///nowhere.sock"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_celerys_connections_raise_named_refusals(url: str, asynchronous: bool) -> None:  # noqa: FBT001
    """Kombu has the private members that are used, and the class that it chooses is kept."""
    broker_transport.install()
    kombu.transport._transport_cache.clear()  # another test of this process may have asked for `redis` before
    with kombu.Connection(url) as connection:
        transport = connection.transport
        assert isinstance(transport, broker_transport.BellTransport)
        channel = object.__new__(transport.Channel)
        assert isinstance(channel, Channel)
        channel.connection = transport
        channel._registered = False
        chosen = channel._connparams(asynchronous=asynchronous)["connection_class"]
    kind = redis.UnixDomainSocketConnection if "socket" in url else redis.Connection
    assert issubclass(chosen, Naming)
    assert issubclass(chosen, kind)


@pytest.mark.parametrize(
    ("url", "leads_to"),
    [
        ("redis://127.0.0.1:6390/0", ("127.0.0.1", 6390)),
        ("rediss://redis.example/0", ("redis.example", 6379)),
    ],
)
@pytest.mark.parametrize("make", [connect, connect_briefly])
def test_a_client_connects_to_its_urls_address_and_database(url: str, leads_to: tuple[str, int], make: Any) -> None:
    connection = make(Redis(url=url)).connection_pool.make_connection()
    assert (connection.host, connection.port) == leads_to


def test_a_unix_socket_connection_has_the_members_the_librarys_errors_use() -> None:
    connection = connect(Redis(url="unix:///nowhere.sock")).connection_pool.make_connection()
    assert hasattr(connection, "host")
    assert hasattr(connection, "port")
