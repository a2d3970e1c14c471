"""How the embedded Redis is set up for the machine it runs on."""

from pathlib import Path

from cli.stack.servers.redis import io_threads, redis_program


def test_only_machines_of_many_cores_have_threads_for_sockets(tmp_path: Path) -> None:
    assert [io_threads(cores) for cores in (1, 2, 8, 15, 16, 64)] == [1, 1, 1, 1, 4, 4]
    command = redis_program(folder=tmp_path, sockets=tmp_path, appendfsync="always").command
    assert command[command.index("--io-threads") + 1] in ("1", "4")
