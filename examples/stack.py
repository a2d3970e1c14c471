"""What an example does when its model is registered: it promotes the version and has a picture predicted."""

import subprocess
import sys
import time
from pathlib import Path

PHOTOGRAPH = Path(__file__).parents[1] / "worker" / "models" / "photographs" / "cat.jpg"
_COMMAND = Path(sys.executable).with_name("darkroom")


def serve(model: str, picture: Path) -> None:
    """Make the newest version the champion, wait until it serves, and print what it says of a picture."""
    subprocess.run([_COMMAND, "models", "promote", model, "latest"], check=True)
    ask(model, picture)


def ask(model: str, picture: Path, *, patience: float = 0.0) -> None:
    """Have a picture predicted and print what a model, or a pipeline, says of it; try again for `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        command = [_COMMAND, "submit", "--wait", "--model", model, picture]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0 or time.monotonic() > end:
            sys.stdout.write(done.stdout)
            return done.check_returncode()
        time.sleep(1)
