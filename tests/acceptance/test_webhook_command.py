"""`darkroom webhooks listen` and `--webhook` on the shared stack."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.stack.ports import free_port
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT

if TYPE_CHECKING:
    from tests.support.stack import Stack


class Listener:
    """`darkroom webhooks listen`, read line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.url = self.line().partition("webhook=")[2]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=LIMIT)[0].strip()


@pytest.fixture
def listener(stack: "Stack") -> Iterator[Listener]:
    command = [sys.executable, "-m", "cli.main", "webhooks", "listen", str(free_port())]
    with subprocess.Popen(command, env=stack.environment, stdout=subprocess.PIPE, text=True) as process:
        yield Listener(process)
        process.kill()


def test_the_listener_receives_and_verifies_submits_webhooks(
    stack: "Stack", listener: Listener, tmp_path: Path, image: bytes
) -> None:
    (tmp_path / "new.png").write_bytes(image)
    _, id, status, predicted, _ = stack.darkroom(
        "submit", "--wait", str(tmp_path / "new.png"), "--webhook", listener.url
    ).stdout.split()
    lines = [listener.line()]
    # A `start` event may have arrived before or after it.
    if f"  prediction  {id}  processing  " in lines[0]:
        lines.append(listener.line())
    assert lines[-1].endswith(f"  prediction  {id}  {status}  {predicted}  verified")
    came, verified = listener.end().split(" came, ")
    assert verified == f"{came} of them verified."


def test_the_listener_receives_one_webhook_for_each_bulk_batch(
    stack: "Stack", listener: Listener, tmp_path: Path, scan: bytes
) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(renewed(scan))
    stack.darkroom("bulk", str(folder), "--webhook", listener.url)
    line = listener.line()
    assert "  batch  " in line
    assert line.endswith("  completed  3 of 3 succeeded  verified")
    assert listener.end() == "1 came, 1 of them verified."
