import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.stack import ports
from cli.stack.ports import Ports


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", port))
        somebody.listen()
        yield


def choose(folder: Path, name: str = "mlflow") -> int:
    with Ports(folder) as ports:
        return ports.port(name)


def test_a_home_keeps_a_port_until_another_program_has_it(tmp_path: Path) -> None:
    port = choose(tmp_path / "ports")
    assert choose(tmp_path / "ports") == port
    with listening(port):
        other = choose(tmp_path / "ports")
        assert other != port
    assert choose(tmp_path / "ports") == other


def test_a_file_without_a_port_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mlflow").write_text("none")
    port = choose(tmp_path)
    assert (tmp_path / "mlflow").read_text() == f"{port}\n"


def test_programs_of_a_home_never_share_a_port(tmp_path: Path) -> None:
    (tmp_path / "api").write_text("5432")
    (tmp_path / "mlflow").write_text("5432")
    with Ports(tmp_path, taken=[5432]) as ports:
        chosen = [ports.port(name) for name in ("mlflow", "api", *map(str, range(300)))]
        assert len(set(chosen)) == len(chosen)
        assert 5432 not in chosen
        assert ports.port("mlflow") == chosen[0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere homes that start at once only seldom want the same")
def test_homes_that_choose_ports_at_once_get_different_ones(tmp_path: Path) -> None:
    # The worst case: both have the same ports, since one home is a copy of the other.
    for home in ("one", "two"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "mlflow").write_text("5678")
    with Ports(tmp_path / "one") as one, Ports(tmp_path / "two") as two:
        assert one.port("mlflow") != two.port("mlflow")


def test_a_free_port_is_free() -> None:
    port = ports.free_port()
    assert ports.is_free(port)
    with listening(port):
        assert not ports.is_free(port)
