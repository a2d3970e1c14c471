import socket
from pathlib import Path

import pytest
from rich.console import Console

from cli.home import command_line
from cli.stack.plan import Options
from cli.terminal.refused import Refused
from cli.up import attended


@pytest.mark.parametrize(("attached", "detach"), [(True, ""), (False, " --detach")])
def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path, *, attached: bool, detach: str) -> None:
    home = tmp_path / "home"
    with socket.socket() as somebody:
        # Gateways that share a port would share it with this one too.
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(Refused, match=f"Port {port} is in use") as refused:
            attended.start(Options(home=home, port=port, models=(), gateways=2), Console(), attached=attached)
    command = command_line(f"up --port {port + 1}{detach}", home)
    assert str(refused.value).endswith(f"Choose another: {command}")
    assert not home.exists()
