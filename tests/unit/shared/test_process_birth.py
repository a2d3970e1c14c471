"""When a process began, which with its pid identifies it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.process_birth import birth_ticks

RENAMED = "import sys; open('/proc/self/comm', 'wb').write(bytes.fromhex(sys.argv[1])); print(flush=True); input()"


@pytest.mark.parametrize("name", [b"plain", b") Z 1 2", b"\xff\xfe", "\u65e5\u672c".encode()], ids=repr)
def test_the_start_of_a_process_is_read_whatever_its_name(name: bytes) -> None:
    command = [sys.executable, "-c", RENAMED, name.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert Path(f"/proc/{process.pid}/comm").read_bytes() == name + b"\n"
        own, its = birth_ticks(os.getpid()), birth_ticks(process.pid)
        assert own is not None
        assert its is not None
        assert own <= its
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert birth_ticks(process.pid) is None, "a zombie does not run"
    assert birth_ticks(process.pid) is None
